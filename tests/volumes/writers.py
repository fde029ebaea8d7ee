"""Writes arrays to disk byte by byte from the formats' specifications, without the libraries that read them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from mtneuro_ray.volumes.source import Voxels

OFFSET = (3, 2, 1)


def write_npy(folder: Path, data: Voxels) -> str:
    np.save(folder / "volume.npy", data)
    return f"file:{folder}/volume.npy"


def write_tiff(folder: Path, data: Voxels) -> str:
    tifffile.imwrite(folder / "volume.tif", data, photometric="minisblack")
    return f"file:{folder}/volume.tif"


def write_compressed_tiff(folder: Path, data: Voxels) -> str:
    tifffile.imwrite(folder / "volume.tiff", data, photometric="minisblack", compression="zlib")
    return f"file:{folder}/volume"


def write_png(folder: Path, data: Voxels) -> str:
    Image.fromarray(data[0]).save(folder / "volume.png")
    return f"file:{folder}/volume.png"


def write_tiff_folder(folder: Path, data: Voxels) -> str:
    for z, plane in enumerate(data):
        tifffile.imwrite(folder / f"slice{z + 5}.tif", plane, photometric="minisblack")
    return f"file:{folder}"


def write_png_folder(folder: Path, data: Voxels) -> str:
    for z, plane in enumerate(data):
        Image.fromarray(plane).save(folder / f"slice{z + 5}.png")
    (folder / "notes.txt").write_text("no slice")
    return f"file:{folder}"


def write_zarr2(folder: Path, data: Voxels, **metadata: Any) -> str:
    """One chunk, uncompressed, in C order."""
    header = {
        "zarr_format": 2,
        "shape": data.shape,
        "chunks": data.shape,
        "dtype": data.dtype.newbyteorder("<").str,
        "compressor": None,
        "filters": None,
        "fill_value": 0,
        "order": "C",
    }
    (folder / ".zarray").write_text(json.dumps(header | metadata))
    (folder / ".".join("0" * data.ndim)).write_bytes(data.tobytes())
    return f"zarr://{folder}"


def write_zarr3(folder: Path, data: Voxels, **metadata: Any) -> str:
    header = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": data.shape,
        "data_type": str(data.dtype),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": data.shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }
    chunk = folder.joinpath("c", *"0" * data.ndim)
    chunk.parent.mkdir(parents=True)
    chunk.write_bytes(data.tobytes())
    (folder / "zarr.json").write_text(json.dumps(header | metadata))
    return f"zarr://{folder}"


def write_ome(folder: Path, data: Voxels, axes: str, scale: float = 2.0, version: str = "0.4") -> str:
    """A group of one level, `s0`, with its axes by name, a scale in micrometers and a translation."""
    steps = [{"type": "scale", "scale": [scale] * 3}, {"type": "translation", "translation": [0, 0, 10.0]}]
    multiscales = [
        {
            "version": version,
            "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in axes],
            "datasets": [{"path": "s0", "coordinateTransformations": steps}],
        }
    ]
    (folder / "s0").mkdir(parents=True)
    if version == "0.5":
        write_zarr3(folder / "s0", data)
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"multiscales": multiscales}}}
        (folder / "zarr.json").write_text(json.dumps(group))
    else:
        write_zarr2(folder / "s0", data)
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps({"multiscales": multiscales}))
    return f"zarr://{folder}"


def write_n5(folder: Path, data: Voxels, **metadata: Any) -> str:
    """One raw block: big-endian, the first of `dimensions`, x, running fastest."""
    dimensions = data.shape[::-1]
    header = {"dimensions": dimensions, "blockSize": dimensions, "dataType": str(data.dtype)}
    (folder / "attributes.json").write_text(json.dumps(header | {"compression": {"type": "raw"}} | metadata))
    block = folder.joinpath(*"0" * data.ndim)
    block.parent.mkdir(parents=True)
    mode_and_rank = np.array([0, data.ndim], ">u2").tobytes()
    big_endian = data.astype(data.dtype.newbyteorder(">"))
    block.write_bytes(mode_and_rank + np.array(dimensions, ">u4").tobytes() + big_endian.tobytes())
    return f"n5://{folder}"


def write_precomputed(folder: Path, data: Voxels) -> str:
    """One raw chunk, x running fastest, with the lowest corner at `OFFSET` (z, y, x)."""
    size, offset = data.shape[::-1], OFFSET[::-1]
    scale = {
        "key": "full",
        "size": size,
        "voxel_offset": offset,
        "resolution": [1170, 1170, 1170],
        "encoding": "raw",
        "chunk_sizes": [size],
    }
    info = {"type": "image", "data_type": str(data.dtype), "num_channels": 1, "scales": [scale]}
    (folder / "info").write_text(json.dumps(info))
    name = "_".join(f"{lo}-{lo + n}" for lo, n in zip(offset, size, strict=True))
    (folder / "full").mkdir()
    (folder / "full" / name).write_bytes(data.tobytes())
    return f"precomputed://{folder}"
