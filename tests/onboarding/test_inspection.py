from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.onboarding.inspection import inspect_volume
from tests.volumes.writers import write_n5, write_ome, write_precomputed, write_zarr2, write_zarr3

SHAPE = (12, 30, 40)


def grey(dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, SHAPE).astype(dtype)


def test_a_small_volume_is_read_whole_and_its_figures_are_numpy_s(tmp_path: Path) -> None:
    image = grey()
    image[:, :3] = 255
    np.save(tmp_path / "image.npy", image)
    [found] = inspect_volume(f"file:{tmp_path}/image.npy")
    assert (found.shape, found.dtype, found.channels, found.levels) == (SHAPE, "uint8", 1, 1)
    assert found.sampled_voxels == image.size
    assert found.percentiles == {each: np.percentile(image, each) for each in (0.1, 1, 50, 99, 99.9)}
    assert found.share_highest == (image == 255).mean()
    assert (found.labels, found.num_labels, found.share_not_finite) == (None, None, 0)


def test_a_sample_is_bounded_repeatable_and_near_the_truth(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 200, (40, 300, 300)).astype(np.uint8)
    np.save(tmp_path / "image.npy", image)
    uri = f"file:{tmp_path}/image.npy"
    [one] = inspect_volume(uri, most_voxels=200_000)
    assert 100_000 < one.sampled_voxels <= 200_000
    assert [one] == inspect_volume(uri, most_voxels=200_000)
    assert [one] != inspect_volume(uri, most_voxels=200_000, seed=1)
    assert one.percentiles[50] == pytest.approx(np.median(image), abs=3)


@pytest.mark.parametrize("dtype", ["uint8", "uint64"])
def test_labels_are_counted_and_noise_is_none(tmp_path: Path, dtype: str) -> None:
    labels = np.zeros(SHAPE, dtype)
    for number in range(20):
        labels[:, number % 5 * 6 + 1 : number % 5 * 6 + 5, number // 5 * 10 + 1 : number // 5 * 10 + 8] = number + 1
    np.save(tmp_path / "labels.npy", labels)
    [found] = inspect_volume(f"file:{tmp_path}/labels.npy")
    values, counts = np.unique(labels, return_counts=True)
    assert found.num_labels == 21
    assert found.labels == dict(zip(values.tolist(), counts.tolist(), strict=True))
    # A masked image: half of it empty, noise elsewhere.
    image = grey(dtype)
    image[:, :20] = 0
    np.save(tmp_path / "image.npy", image)
    assert inspect_volume(f"file:{tmp_path}/image.npy")[0].labels is None


def test_metadata_of_chunked_volumes_are_shown(tmp_path: Path) -> None:
    for write in (write_zarr2, write_zarr3, write_n5, write_precomputed):
        folder = tmp_path / write.__name__
        folder.mkdir()
        [found] = inspect_volume(write(folder, grey()))
        assert found.chunk_shape == SHAPE, write
    (tmp_path / "ome").mkdir()
    [found] = inspect_volume(write_ome(tmp_path / "ome", grey(), "xyz"))
    assert found.chunk_shape == found.shape == SHAPE[::-1]
    assert found.voxel_size_um == (2.0, 2.0, 2.0)
    assert found.origin_um == (10.0, 0.0, 0.0)


def test_the_command_prints_text_or_json_of_several_volumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "image.npy", grey())
    np.save(tmp_path / "labels.npy", (grey() > 100).astype(np.uint8))
    uris = [str(tmp_path / "image.npy"), f"file:{tmp_path}/labels.npy"]
    assert main(["inspect", *uris]) == 0
    text = capsys.readouterr().out
    for word in ("12 x 30 x 40 (z, y, x)", "not in the metadata", "sampled       0.0144 million voxels (100 %)"):
        assert text.count(word) >= 2, word
    assert "labels        2 distinct: 0 (5" in text
    assert main(["inspect", *uris, "--format", "json"]) == 0
    image, labels = json.loads(capsys.readouterr().out)
    assert image["shape"] == [*SHAPE]
    assert list(image["percentiles"]) == ["0.1", "1", "50", "99", "99.9"]
    assert labels["labels"].keys() == {"0", "1"}


def test_a_volume_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", f"zarr://{tmp_path}/none"]) == 2
    assert capsys.readouterr().err == f"error: zarr://{tmp_path}/none: no such folder\n"
    assert main(["inspect", "none.tif"]) == 2
    assert "none.tif: no such file or folder; accepted: " in capsys.readouterr().err


def test_of_hundreds_of_channels_the_first_are_shown_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "features.npy", np.zeros((40, 2, 4, 4), np.float32))
    assert main(["inspect", f"file:{tmp_path}/features.npy?axes=czyx"]) == 0
    told = capsys.readouterr()
    assert told.out.count("sampled") == 16
    assert "the first 16 of 40 channels; ?channel=N shows another" in told.err
