"""One small volume of each kind, with the voxels that it must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.conformance import VolumeCase
from mtneuro_ray.volumes.source import Voxels, open_volume
from tests.bossdb_server import BossServer
from tests.volumes import peers, writers

SHAPE = (9, 20, 31)
TOKEN = "0123456789abcdef-s3cret%"

Writer = Callable[[Path, Voxels], str]
WRITERS: dict[str, tuple[Writer, str]] = {
    "npy": (writers.write_npy, "uint64"),
    "npy xyz": (peers.write_npy_xyz, "bool"),
    "tiff": (writers.write_tiff, "uint16"),
    "compressed tiff": (writers.write_compressed_tiff, "uint8"),
    "lzw tiff": (peers.write_lzw_tiff, "int16"),
    "tiled zstd tiff": (peers.write_tiled_tiff, "float32"),
    "imagej tiff": (peers.write_imagej, "uint16"),
    "tiff folder": (writers.write_tiff_folder, "uint16"),
    "png": (writers.write_png, "uint16"),
    "png folder": (writers.write_png_folder, "uint8"),
    "nifti": (peers.write_nifti, "int16"),
    "nifti gz": (peers.write_nifti_gz, "float32"),
    "hdf5": (peers.write_hdf5, "int64"),
    "zarr 2": (writers.write_zarr2, "float64"),
    "zarr 3": (writers.write_zarr3, "uint64"),
    "n5": (writers.write_n5, "int32"),
    "precomputed": (writers.write_precomputed, "uint8"),
}
# Writers of arrays with axes c, z, y, x.
CHANNEL_WRITERS: dict[str, tuple[Writer, str]] = {
    "npy channels": (peers.write_npy_channels, "float16"),
    "ome-tiff": (peers.write_ome_tiff, "int8"),
    "imagej channels": (peers.write_imagej_channels, "float32"),
    "nifti channels": (peers.write_nifti_channels, "uint8"),
    "hdf5 channels": (peers.write_hdf5_channels, "uint16"),
    "tiff folder channels": (peers.write_tiff_folder_channels, "uint16"),
    "ome-zarr 0.4 channels": (peers.write_ome_channels, "uint16"),
    "precomputed channels": (peers.write_precomputed_channels, "float32"),
}
# Writers of several levels, the finest first.
LEVEL_WRITERS: dict[str, tuple[Callable[[Path, Sequence[Voxels]], str], str]] = {
    "ome-zarr 0.4 levels": (peers.write_ome_levels_4, "int16"),
    "ome-zarr 0.5 levels": (peers.write_ome_levels_5, "float32"),
    "n5 levels": (peers.write_n5_levels, "uint16"),
    "precomputed levels": (peers.write_precomputed_levels, "uint64"),
    "tiff levels": (peers.write_tiff_levels, "uint8"),
}


def random_volume(seed: int, dtype: str, shape: tuple[int, ...] = SHAPE) -> Voxels:
    """Uniform over the whole range of the type; floats of any size and sign."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if kind.kind == "f":
        return (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(kind)
    span = np.iinfo(kind)
    return rng.integers(span.min, span.max, shape, dtype=kind, endpoint=True)


@pytest.fixture(scope="session", params=["phantom", "bossdb", *WRITERS, *CHANNEL_WRITERS, *LEVEL_WRITERS])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VolumeCase]:
    """Every kind of volume in turn."""
    if request.param == "phantom":
        yield _phantom()
    elif request.param == "bossdb":
        yield from _bossdb()
    else:
        folder = tmp_path_factory.mktemp(request.param.replace(" ", "_"))
        for name in ("one", "two"):
            (folder / name).mkdir()
        kinds = {**dict.fromkeys(CHANNEL_WRITERS, _channels), **dict.fromkeys(LEVEL_WRITERS, _levels)}
        yield kinds.get(request.param, _on_disk)(request.param, folder)


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
    where = Roi.at(writers.OFFSET if kind == "precomputed" else (0, 0, 0), shape)
    stops = (where.z[1], where.y[1], where.x[1])
    return VolumeCase(write(folder / "one", truth), write(folder / "two", other), stops, where, truth)


def _channels(kind: str, folder: Path) -> VolumeCase:
    write, dtype = CHANNEL_WRITERS[kind]
    data, other = (random_volume(seed, dtype, (3, *SHAPE)) for seed in range(2))
    several = write(folder / "one", data)
    mark = "&" if "?" in several else "?"
    return VolumeCase(
        f"{several}{mark}channel=1",
        f"{write(folder / 'two', other)}{mark}channel=1",
        SHAPE,
        Roi.at((0, 0, 0), SHAPE),
        data[1],
        several=several,
        channels=tuple(data),
    )


def _levels(kind: str, folder: Path) -> VolumeCase:
    write, dtype = LEVEL_WRITERS[kind]
    finest, other = (random_volume(seed, dtype) for seed in range(2))
    depth, height, width = SHAPE
    levels = (finest, random_volume(2, dtype, ((depth if "tiff" in kind else 5), height // 2, (width + 1) // 2)))
    uri = write(folder / "one", levels)
    other_uri = write(folder / "two", (other, levels[1]))
    return VolumeCase(uri, other_uri, SHAPE, Roi.at((0, 0, 0), SHAPE), finest, levels=levels)
