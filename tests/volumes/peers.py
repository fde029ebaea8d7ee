"""Writes volumes with the libraries that people write them with: NumPy, tifffile, nibabel, h5py, tensorstore."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import tensorstore as ts
import tifffile

from mtneuro_ray.volumes.source import Voxels
from tests.volumes import writers

# Right to left, anterior to posterior, inferior to superior: as scanners store it.
LPS = np.diag([-0.003, -0.002, 0.005, 1.0])
UM = {"unit": "micrometer", "type": "space"}


def write_npy_xyz(folder: Path, data: Voxels) -> str:
    np.save(folder / "volume.npy", data.T)
    return f"file:{folder}/volume.npy?axes=xyz"


def write_npy_channels(folder: Path, data: Voxels) -> str:
    np.save(folder / "volume.npy", data)
    return f"file:{folder}/volume.npy?axes=czyx"


def write_lzw_tiff(folder: Path, data: Voxels) -> str:
    tifffile.imwrite(
        folder / "volume.tif", data, photometric="minisblack", compression="lzw", predictor=True, rowsperstrip=3
    )
    return f"file:{folder}/volume.tif"


def write_tiled_tiff(folder: Path, data: Voxels) -> str:
    tifffile.imwrite(folder / "volume.tif", data, photometric="minisblack", compression="zstd", tile=(16, 16))
    return f"file:{folder}/volume.tif"


def write_imagej(folder: Path, data: Voxels) -> str:
    tifffile.imwrite(folder / "volume.tif", data, imagej=True, metadata={"axes": "ZYX"})
    return f"file:{folder}/volume.tif"


def write_imagej_channels(folder: Path, data: Voxels) -> str:
    stored = data.swapaxes(0, 1)  # ImageJ stores z before c
    tifffile.imwrite(folder / "volume.tif", stored, imagej=True, metadata={"axes": "ZCYX"})
    return f"file:{folder}/volume.tif"


def write_ome_tiff(folder: Path, data: Voxels) -> str:
    tifffile.imwrite(
        folder / "volume.ome.tif", data, photometric="minisblack", compression="zlib", metadata={"axes": "CZYX"}
    )
    return f"file:{folder}/volume.ome.tif"


def write_tiff_folder_channels(folder: Path, data: Voxels) -> str:
    for z in range(data.shape[1]):
        tifffile.imwrite(folder / f"z{z:03}.tif", data[:, z], photometric="minisblack", metadata={"axes": "CYX"})
    return f"file:{folder}"


def write_tiff_levels(folder: Path, levels: Sequence[Voxels]) -> str:
    with tifffile.TiffWriter(folder / "volume.ome.tif") as writer:
        shown: dict[str, Any] = {"photometric": "minisblack", "tile": (16, 16), "compression": "zlib"}
        writer.write(levels[0], subifds=len(levels) - 1, metadata={"axes": "ZYX"}, **shown)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **shown)
    return f"file:{folder}/volume.ome.tif"


def write_nifti(folder: Path, data: Voxels, affine: Any = LPS, name: str = "volume.nii") -> str:
    """A volume z, y, x towards superior, anterior and right, stored as the affine says."""
    library: Any = nibabel  # half of it has no types
    canonical = library.Nifti1Image(data.T if data.ndim == 3 else data.T[..., None, :], np.eye(4))
    turn = library.orientations.ornt_transform(library.io_orientation(np.eye(4)), library.io_orientation(affine))
    image = library.Nifti1Image(np.asarray(canonical.as_reoriented(turn).dataobj), affine)
    image.header.set_xyzt_units("mm")
    library.save(image, folder / name)
    return f"file:{folder}/{name}"


def write_nifti_gz(folder: Path, data: Voxels) -> str:
    return write_nifti(folder, data, np.array([[0, 0, 2, 0], [3, 0, 0, 0], [0, -4, 0, 0], [0, 0, 0, 1.0]]), "v.nii.gz")


def write_nifti_channels(folder: Path, data: Voxels) -> str:
    return write_nifti(folder, data)


def write_hdf5(folder: Path, data: Voxels) -> str:
    with h5py.File(folder / "volume.h5", "w") as file:
        file.create_dataset("volumes/raw", data=data, chunks=(4, 8, 16), compression="gzip", shuffle=True)
        file["voxels"] = np.arange(5)
    return f"file:{folder}/volume.h5"


def write_hdf5_channels(folder: Path, data: Voxels) -> str:
    with h5py.File(folder / "volume.hdf5", "w") as file:
        stored = file.create_dataset("t0/channels", data=data.transpose(1, 2, 3, 0))
        file.create_dataset("t0/labels", data=data[0])
        for dimension, name in zip(stored.dims, ("z", "y", "x", "channel"), strict=True):
            dimension.label = name
    return f"file:{folder}/volume.hdf5#/t0/channels"


def write_ome_channels(folder: Path, data: Voxels) -> str:
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *({"name": axis, **UM} for axis in "zyx")]
    datasets = [{"path": "0/0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 4, 0.5, 0.5]}]}]
    (folder / ".zattrs").write_text(
        json.dumps({"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]})
    )
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / "0" / "0").mkdir(parents=True)
    writers.write_zarr2(folder / "0" / "0", data[None])
    return f"zarr://{folder}"


def write_ome_levels_4(folder: Path, levels: Sequence[Voxels]) -> str:
    return _write_ome_levels(folder, levels, "0.4")


def write_ome_levels_5(folder: Path, levels: Sequence[Voxels]) -> str:
    return _write_ome_levels(folder, levels, "0.5")


def _write_ome_levels(folder: Path, levels: Sequence[Voxels], version: str) -> str:
    """Levels `full` and `half` of one channel; voxels of 4 x 2 x 1 micrometers, twice that in the next level."""
    axes = [{"name": "c", "type": "channel"}, *({"name": axis, **UM} for axis in "zyx")]
    datasets = []
    for number, (name, level) in enumerate(zip(("full", "half"), levels, strict=True)):
        scale = [1.0, *(size * 2.0**number for size in (4, 2, 1))]
        place = [0.0, *(size * (2.0**number - 1) / 2 for size in (4, 2, 1))]
        steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": place}]
        datasets.append({"path": name, "coordinateTransformations": steps})
        (folder / name).mkdir()
        write = writers.write_zarr2 if version == "0.4" else writers.write_zarr3
        write(folder / name, level[None])
    multiscales = [{"version": version, "axes": axes, "datasets": datasets}]
    if version == "0.4":
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps({"multiscales": multiscales}))
    else:
        ome = {"version": "0.5", "multiscales": multiscales}
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
        (folder / "zarr.json").write_text(json.dumps(group))
    return f"zarr://{folder}"


def write_n5_levels(folder: Path, levels: Sequence[Voxels]) -> str:
    """Data sets s0, s1 as n5-viewer writes them, voxels of 4 x 2 x 1 micrometers (z, y, x)."""
    (folder / "attributes.json").write_text('{"n5": "2.5.1"}')
    for number, level in enumerate(levels):
        (folder / f"s{number}").mkdir()
        size = {"unit": "um", "dimensions": [1, 2, 4]}
        writers.write_n5(folder / f"s{number}", level, pixelResolution=size, downsamplingFactors=[2**number] * 3)
    return f"n5://{folder}"


def write_precomputed_levels(folder: Path, levels: Sequence[Voxels]) -> str:
    return _write_precomputed(folder, [level[None] for level in levels])


def write_precomputed_channels(folder: Path, data: Voxels) -> str:
    return _write_precomputed(folder, [data])


def _write_precomputed(folder: Path, levels: Sequence[Voxels]) -> str:
    for number, level in enumerate(levels):
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{folder}/"},
            "multiscale_metadata": {"type": "image", "data_type": str(level.dtype), "num_channels": len(level)},
            "scale_metadata": {
                "size": level.shape[:0:-1],
                "resolution": [size * 2**number for size in (1000, 2000, 4000)],
                "encoding": "raw",
                "chunk_size": [16, 16, 16],
            },
        }
        array = ts.open(spec, create=True).result()
        array[...] = level.T
    return f"precomputed://{folder}"
