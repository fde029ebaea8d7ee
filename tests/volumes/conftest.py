"""One small volume of each kind, with the voxels that it must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes.conformance import VolumeCase
from mtneuro_ray.volumes.source import Voxels, open_volume
from tests.bossdb_server import BossServer
from tests.volumes import writers

SHAPE = (9, 20, 31)
TOKEN = "0123456789abcdef-s3cret%"

Writer = Callable[[Path, Voxels], str]
WRITERS: dict[str, tuple[Writer, str]] = {
    "npy": (writers.write_npy, "uint64"),
    "tiff": (writers.write_tiff, "uint16"),
    "compressed tiff": (writers.write_compressed_tiff, "uint8"),
    "tiff folder": (writers.write_tiff_folder, "uint16"),
    "png": (writers.write_png, "uint16"),
    "png folder": (writers.write_png_folder, "uint8"),
    "zarr 2": (writers.write_zarr2, "uint16"),
    "zarr 3": (writers.write_zarr3, "uint64"),
    "n5": (writers.write_n5, "uint16"),
    "precomputed": (writers.write_precomputed, "uint8"),
}


def random_volume(seed: int, dtype: str, shape: Shape = SHAPE) -> Voxels:
    """Uniform over the whole range of the type; floats of any size and sign."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if kind.kind == "f":
        return (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(kind)
    span = np.iinfo(kind)
    return rng.integers(span.min, span.max, shape, dtype=kind, endpoint=True)


@pytest.fixture(scope="session", params=["phantom", "bossdb", *WRITERS])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VolumeCase]:
    """Every kind of volume in turn."""
    if request.param == "phantom":
        yield _phantom()
    elif request.param == "bossdb":
        yield from _bossdb()
    else:
        yield _on_disk(request.param, tmp_path_factory.mktemp(request.param.replace(" ", "_")))


def _phantom() -> VolumeCase:
    uri = "phantom://thalamocortical/pixel_labels?seed={}"
    where = Roi.at((300, 900, 4600), SHAPE)
    around = Roi.at((290, 880, 4580), (30, 60, 80))
    truth = open_volume(uri.format(0)).read(around)[where.slices_within(around)]
    return VolumeCase(uri.format(0), uri.format(1), (720, 1420, 5805), where, truth)


def _bossdb() -> Iterator[VolumeCase]:
    channels = {f"lab/brain/{name}": random_volume(seed, "uint64") for seed, name in enumerate(("labels", "more"))}
    with BossServer(channels, token=TOKEN) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOSSDB_HOST", server.host)
        patch.setenv("BOSSDB_PROTOCOL", "http")
        patch.setenv("BOSSDB_TOKEN", TOKEN)
        uri = "bossdb://lab/brain/{}"
        where = Roi.at((0, 0, 0), SHAPE)
        yield VolumeCase(uri.format("labels"), uri.format("more"), SHAPE, where, channels["lab/brain/labels"], (TOKEN,))


def _on_disk(kind: str, folder: Path) -> VolumeCase:
    write, dtype = WRITERS[kind]
    depth, height, width = SHAPE
    shape = (1, height, width) if kind == "png" else (depth, height, width)
    truth, other = (random_volume(seed, dtype, shape) for seed in range(2))
    for name in ("one", "two"):
        (folder / name).mkdir()
    where = Roi.at(writers.OFFSET if kind == "precomputed" else (0, 0, 0), shape)
    stops = (where.z[1], where.y[1], where.x[1])
    return VolumeCase(write(folder / "one", truth), write(folder / "two", other), stops, where, truth)
