"""The volumes of `benchmarks.any_volume`, each through the commands of its README, with no file edited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.any_volume import VOLUMES, arrays, commands, run, write
from mtneuro_ray.data import embeddings
from mtneuro_ray.volumes.source import open_volume
from tests.onboarding.test_classification import regions
from tests.ray_cluster import PrivateHead, private_head


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateHead]:
    with private_head(tmp_path_factory.mktemp("head")) as running:
        yield running


def test_the_volumes_are_of_the_kinds_that_they_say() -> None:
    assert len(VOLUMES) == 12
    assert {volume.dtype for volume in VOLUMES.values()} == {"uint8", "uint16", "uint32", "int16", "float32"}
    for name in ("npy_uint8", "zarr2_uint8_5to1_sparse", "zarr3_uint16_two_channels", "precomputed_uint8_instances"):
        volume = VOLUMES[name]
        image, labels, size = arrays(volume)
        assert image.dtype == volume.dtype
        assert image.shape[-3:] == labels.shape
        assert size[0] / size[1] == volume.anisotropy
        filled = sum(plane.any() for plane in labels)
        assert filled == (len(labels) // 10 if volume.sparse else len(labels))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("name", VOLUMES)
def test_a_volume_becomes_trained_models_without_an_edit(name: str, head: PrivateHead, tmp_path: Path) -> None:
    image, labels = write(name, tmp_path)
    lines = commands(image, labels, tmp_path)
    environment = {**head.env, "RAY_ADDRESS": head.address}
    for command, line in lines.items():
        assert run(line, environment)[1] == "", command
    assert len(list((tmp_path / "out/runs").glob("*.json"))) >= 4
    prediction, truth = (open_volume(uri) for uri in (f"zarr://{tmp_path}/prediction.zarr", labels))
    assert prediction.shape == truth.shape
    assert prediction.voxel_size_um == pytest.approx(open_volume(image).voxel_size_um)


@pytest.mark.slow
@pytest.mark.ray
def test_regions_become_a_classifier_and_its_map(head: PrivateHead, tmp_path: Path) -> None:
    regions(tmp_path, depth=24)
    lines = commands(f"file:{tmp_path}/image.npy", f"file:{tmp_path}/labels.npy", tmp_path)
    lines["init"] += ["--task", "classification"]
    lines["predict"] += ["--box", "8:12,0:70,0:200"]
    environment = {**head.env, "RAY_ADDRESS": head.address}
    for command, line in lines.items():
        assert run(line, environment)[1] == "", command
    assert open_volume(f"zarr://{tmp_path}/prediction.zarr").shape[0] == 4


@pytest.mark.slow
@pytest.mark.ray
def test_labels_become_an_encoder_a_readout_and_embeddings(head: PrivateHead, tmp_path: Path) -> None:
    image, labels = write("npy_uint8", tmp_path)
    lines = commands(image, labels, tmp_path)
    lines["init"] += ["--task", "readout", "--classes", "background,vessels,cells,axons"]
    lines["table"] = ["results", "table", "--out", str(tmp_path / "out")]
    lines["predict"] += ["--what", "embeddings", "--box", "0:2,0:96,0:96"]
    environment = {**head.env, "RAY_ADDRESS": head.address}
    for command, line in lines.items():
        assert run(line, environment)[1] == "", command
    table = embeddings.of_volume(f"zarr://{tmp_path}/prediction.zarr")
    assert set(table["z"].to_pylist()) == {0, 1}
