"""Twelve volumes, each from its address to trained models and a whole prediction by the commands of a README.

    python -m benchmarks.any_volume [--only NAME ...] [--out FOLDER]

The volumes are boxes of the phantom in formats, types and shapes that laboratories have: isotropic and 5:1, dense and
one slice in ten annotated, instance ids, two channels. No file that `init` writes is edited. Prints a line for each
volume: the commands that ended well, with their seconds, or the error of the first that did not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorstore as ts
import tifffile
import zarr
from scipy import ndimage

from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import open_volume

Array = npt.NDArray[Any]
Writer = Callable[[Path, Array, tuple[float, float, float]], str]
# In the striatum: vessels, cells and axons.
CORNER = (110, 560, 3760)
VOXEL_UM = 1.17


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume of the table.

    Attributes:
        image: Writes the image, and returns its address.
        labels: Writes the labels, and returns their address.
        dtype: Type of the image.
        anisotropy: Slices of the phantom for one slice of the volume.
        sparse: Every so many slices is annotated; 0 for dense labels.
        instances: The labels are the numbers of objects.
        channels: Channels of the image.
    """

    image: Writer
    labels: Writer
    dtype: str
    anisotropy: int = 1
    sparse: int = 0
    instances: bool = False
    channels: int = 1


def arrays(volume: Volume) -> tuple[Array, Array, tuple[float, float, float]]:
    """Image ([C,] Z, Y, X), labels (Z, Y, X) and voxel size z, y, x in micrometers."""
    step = volume.anisotropy
    depth = 60 if volume.sparse else 40
    box = Roi.at(CORNER, (depth * step, 96, 96))
    base = "phantom://thalamocortical"
    grey = open_volume(f"{base}/image?seed=0").read(box)[::step]
    labels = open_volume(f"{base}/pixel_labels?seed=0").read(box)[::step].astype(np.uint8)
    if volume.instances:
        labels = np.asarray(ndimage.label(labels == 2)[0], np.uint64)
    if volume.sparse:
        kept = np.arange(len(labels)) % volume.sparse == volume.sparse // 2
        labels = np.where(kept[:, None, None], labels, 0).astype(labels.dtype)
    image = typed(grey, volume.dtype)
    if volume.channels > 1:
        image = np.stack([image, *(typed(np.flip(grey, axis=n % 3), volume.dtype) for n in range(1, volume.channels))])
    return image, labels, (VOXEL_UM * step, VOXEL_UM, VOXEL_UM)


def typed(grey: Array, dtype: str) -> Array:
    """Grey values in the range that microscopes and scanners use of a type."""
    if dtype == "uint8":
        return grey
    scale, offset = {"uint16": (60, 400), "uint32": (100_000, 70_000), "int16": (12, -1000)}.get(dtype, (0.01, -1.0))
    return (grey.astype(np.float64) * scale + offset).astype(dtype)


def npy(path: Path, data: Array, size: tuple[float, float, float]) -> str:
    """A .npy file."""
    np.save(f"{path}.npy", data)
    return f"file:{path}.npy?voxel_size={','.join(f'{each:g}' for each in size)}"


def tiff(path: Path, data: Array, size: tuple[float, float, float]) -> str:
    """A stack, compressed by LZW."""
    tifffile.imwrite(f"{path}.tif", data, photometric="minisblack", compression="lzw")
    return f"file:{path}.tif"


def ome_tiff(path: Path, data: Array, size: tuple[float, float, float]) -> str:
    """An OME-TIFF with the physical size of its voxels."""
    names = dict(zip(("PhysicalSizeZ", "PhysicalSizeY", "PhysicalSizeX"), size, strict=True))
    units = {f"{name}Unit": "µm" for name in names}
    tifffile.imwrite(f"{path}.ome.tif", data, photometric="minisblack", metadata={"axes": "ZYX", **names, **units})
    return f"file:{path}.ome.tif"


def slices(path: Path, data: Array, size: tuple[float, float, float]) -> str:
    """A folder of numbered pictures."""
    path.mkdir()
    for z, plane in enumerate(data):
        tifffile.imwrite(path / f"slice{z:04}.tif", plane, photometric="minisblack")
    return f"file:{path}"


def nifti(path: Path, data: Array, size: tuple[float, float, float]) -> str:
    """NIfTI: axes x, y, z, millimeters."""
    import nibabel

    library: Any = nibabel  # half of it has no types
    z, y, x = (each / 1000 for each in size)
    image = library.Nifti1Image(data.transpose(), np.diag([x, y, z, 1.0]), dtype=data.dtype)
    image.header.set_xyzt_units("mm")
    library.save(image, f"{path}.nii.gz")
    return f"file:{path}.nii.gz"


def hdf5(path: Path, data: Array, size: tuple[float, float, float]) -> str:
    """A dataset in an HDF5 file, in chunks."""
    import h5py

    with h5py.File(f"{path}.h5", "w") as file:
        dataset = file.create_dataset("volume/data", data=data, chunks=(8, 32, 32), compression="gzip")
        dataset.attrs["element_size_um"] = size
    return f"file:{path}.h5#/volume/data"


def ome_zarr(version: int, levels: int = 1) -> Writer:
    """OME-Zarr 0.4 in Zarr 2, or 0.5 in Zarr 3, with a pyramid of so many levels."""

    def write(path: Path, data: Array, size: tuple[float, float, float]) -> str:
        group = zarr.open_group(path, mode="w", zarr_format=3 if version == 3 else 2)
        axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
        lead = [] if data.ndim == 3 else [1.0]
        if lead:
            axes.insert(0, {"name": "c", "type": "channel"})
        datasets: list[Any] = []
        for level in range(levels):
            step = 2**level
            part = data[..., ::step, ::step, ::step]
            chunks = (1, 8, 32, 32)[-data.ndim :]
            array = group.create_array(f"s{level}", shape=part.shape, dtype=part.dtype, chunks=chunks)
            array[:] = part
            scale = [{"type": "scale", "scale": [*lead, *(each * step for each in size)]}]
            datasets.append({"path": f"s{level}", "coordinateTransformations": scale})
        multiscale: Any = {"axes": axes, "datasets": datasets}
        if version == 3:
            group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
        else:
            group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]
        return f"zarr://{path}"

    return write


def n5(path: Path, data: Array, size: tuple[float, float, float]) -> str:
    """An N5 data set with a resolution."""
    dimensions = [*data.shape[::-1]]
    metadata = {"dimensions": dimensions, "blockSize": [32, 32, 8], "dataType": str(data.dtype)}
    extra = {"compression": {"type": "gzip"}, "resolution": [*size[::-1]], "units": ["um"] * 3, "axes": ["x", "y", "z"]}
    spec = {"driver": "n5", "kvstore": f"file://{path}/", "metadata": {**metadata, **extra}}
    ts.open(spec, create=True).result().write(data.transpose()).result()
    return f"n5://{path}"


def precomputed(path: Path, data: Array, size: tuple[float, float, float]) -> str:
    """A Neuroglancer precomputed volume, resolution in nanometers."""
    kind = "image" if data.dtype.itemsize < 8 else "segmentation"
    shape = [*data.shape[::-1]]
    scale = {"size": shape, "resolution": [1000 * each for each in size[::-1]], "encoding": "raw"}
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": f"file://{path}/",
        "multiscale_metadata": {"type": kind, "data_type": str(data.dtype), "num_channels": 1},
        "scale_metadata": {**scale, "chunk_size": [32, 32, 8], "key": "full"},
    }
    ts.open(spec, create=True).result().write(data.transpose()[..., None]).result()
    return f"precomputed://{path}"


VOLUMES = {
    "npy_uint8": Volume(npy, npy, "uint8"),
    "tiff_lzw_uint16": Volume(tiff, tiff, "uint16"),
    "ome_tiff_uint16_5to1": Volume(ome_tiff, ome_tiff, "uint16", anisotropy=5),
    "slices_uint8_sparse": Volume(slices, slices, "uint8", sparse=10),
    "nifti_int16": Volume(nifti, nifti, "int16"),
    "nifti_float32_5to1": Volume(nifti, nifti, "float32", anisotropy=5),
    "hdf5_float32_sparse": Volume(hdf5, hdf5, "float32", sparse=10),
    "zarr2_uint16_pyramid": Volume(ome_zarr(2, levels=2), ome_zarr(2, levels=2), "uint16"),
    "zarr2_uint8_5to1_sparse": Volume(ome_zarr(2), ome_zarr(2), "uint8", anisotropy=5, sparse=10),
    "zarr3_uint16_two_channels": Volume(ome_zarr(3), ome_zarr(3), "uint16", channels=2),
    "n5_uint32": Volume(n5, n5, "uint32"),
    "precomputed_uint8_instances": Volume(precomputed, precomputed, "uint8", instances=True),
}


def write(name: str, folder: Path) -> tuple[str, str]:
    """Write image and labels of a volume into a folder; their addresses."""
    volume = VOLUMES[name]
    image, labels, size = arrays(volume)
    return volume.image(folder / "image", image, size), volume.labels(folder / "labels", labels, size)


def commands(image: str, labels: str, folder: Path) -> dict[str, list[str]]:
    """The three commands of a volume, by name."""
    project, out = str(folder / "project"), str(folder / "out")
    return {
        "init": ["init", "--image", image, "--labels", labels, project],
        "sweep": ["sweep", "--space", f"{project}/space.toml", "--preset", "smoke", "--out", out],
        "predict": ["predict", "--out", out, "--best", "--volume", image, "--to", f"zarr://{folder}/prediction.zarr"],
    }


def run(arguments: list[str], environment: Mapping[str, str]) -> tuple[float, str]:
    """Seconds of a command, and its last line on stderr where it failed."""
    started = time.monotonic()
    command = [sys.executable, "-m", "mtneuro_ray", *arguments]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines() or [""]
    return time.monotonic() - started, lines[-1] if done.returncode else ""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[*VOLUMES], default=[*VOLUMES])
    parser.add_argument("--out", type=Path, help="folder of all files; default: temporary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.only:
            folder = (options.out or Path(temporary)).absolute() / name
            folder.mkdir(parents=True)
            row: dict[str, Any] = {"volume": name}
            for command, arguments in commands(*write(name, folder), folder).items():
                seconds, problem = run(arguments, os.environ)
                row[command] = problem or round(seconds, 1)
                if problem:
                    break
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
