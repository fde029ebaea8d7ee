"""Metadata of a pyramid as OME-NGFF 0.5 (Zarr 3) and as Neuroglancer precomputed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mtneuro_ray.data.pyramid import Level
from mtneuro_ray.roi import Shape

if TYPE_CHECKING:
    from mtneuro_ray.data.volume_target import Layer, LevelArray, Placement

logger = logging.getLogger(__name__)

_PROPERTIES = "segment_properties"
# PNG, which is lossless, holds as many; more channels are stored as they are.
_PNG_CHANNELS = 4

_BYTES: dict[str, dict[str, Any]] = {
    "uint8": {"name": "bytes"},
    "float32": {"name": "bytes", "configuration": {"endian": "little"}},
}


def channels_of_chunk(num_channels: int, dtype: str) -> int:
    """Channels that a chunk of a Zarr holds: one of shares, which are looked at one by one; all of a vector."""
    return num_channels if dtype == "float32" else 1


def is_metadata(name: str) -> bool:
    """Whether a file of a level is not one of its chunks."""
    return name.rpartition("/")[2] in ("zarr.json", "info")


def zarr_spec(number: int, level: Level, chunk: Shape, num_channels: int, dtype: str) -> dict[str, Any]:
    """One level of an OME-Zarr image for tensorstore, in memory."""
    lead = [num_channels] if num_channels else []
    together = [channels_of_chunk(num_channels, dtype) for _ in lead]
    metadata = {
        "shape": [*lead, *level.shape],
        "data_type": dtype,
        "fill_value": 0,
        "dimension_names": [*("c" for _ in lead), "z", "y", "x"],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*together, *chunk]}},
        "codecs": [_BYTES[dtype], {"name": "zstd", "configuration": {"level": 3, "checksum": False}}],
    }
    kvstore = {"driver": "memory", "path": f"{number}/"}
    # A chunk of zeros is a file too, so that one that is missing is known to be.
    return {"driver": "zarr3", "kvstore": kvstore, "metadata": metadata, "store_data_equal_to_fill_value": True}


def zarr_files(
    arrays: Sequence[LevelArray], layer: Layer, placement: Placement, about: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the metadata of an OME-Zarr image, the group's last."""
    for array in arrays:
        yield f"{array.number}/zarr.json", array.metadata()
    unit = {} if placement.voxel_size_um is None else {"unit": "micrometer"}
    channel = [{"name": "c", "type": "channel"}] if layer.channels else []
    image = {
        "name": layer.name or "prediction",
        "axes": [*channel, *({"name": axis, "type": "space", **unit} for axis in "zyx")],
        "datasets": [
            {"path": str(array.number), "coordinateTransformations": _transformations(array, layer, placement)}
            for array in arrays
        ],
        "type": "mode" if layer.classes else "mean",
    }
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [image]}
    if layer.channels and layer.dtype == "uint8":
        window = {"min": 0, "max": 255, "start": 0, "end": 255}
        ome["omero"] = {
            "channels": [
                {"label": name, "color": "FFFFFF", "window": window, "active": True} for name in layer.channels
            ]
        }
    attributes = {"ome": ome, **({"classes": list(layer.classes)} if layer.classes else {})}
    if about:
        attributes["mtneuro"] = about
    yield "zarr.json", _json({"zarr_format": 3, "node_type": "group", "attributes": attributes})


def _transformations(array: LevelArray, layer: Layer, placement: Placement) -> list[dict[str, Any]]:
    """Scale of a level, and the place of the middle of its first pixel, as OME-NGFF has it."""
    lead = 1 if layer.channels else 0
    size, origin = placement.voxel_size_um or (1.0, 1.0, 1.0), placement.origin_um or (0.0, 0.0, 0.0)
    scale, place = [1.0] * lead, [0.0] * lead
    for axis in range(3):
        voxels = array.level.factor[axis] * placement.step[axis]
        scale.append(voxels * size[axis])
        # Of several voxels, the middle lies between the first and the last.
        place.append(origin[axis] + (array.level.offset[axis] * voxels + (voxels - 1) / 2) * size[axis])
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": place}]


def precomputed_spec(number: int, level: Level, chunk: Shape, num_channels: int, dtype: str) -> dict[str, Any]:
    """One level of a precomputed volume for tensorstore, in memory."""
    return {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "memory"},
        "multiscale_metadata": {"type": "image", "data_type": dtype, "num_channels": num_channels or 1},
        "scale_metadata": {
            **_scale(number, level, num_channels, dtype),
            "resolution": [1.0, 1.0, 1.0],
            "chunk_size": list(reversed(chunk)),
        },
        "store_data_equal_to_fill_value": True,
    }


def _scale(number: int, level: Level, num_channels: int, dtype: str) -> dict[str, Any]:
    return {
        "key": str(number),
        "size": list(reversed(level.shape)),
        "voxel_offset": list(reversed(level.offset)),
        "encoding": "png" if num_channels <= _PNG_CHANNELS and dtype == "uint8" else "raw",
    }


def precomputed_files(
    arrays: Sequence[LevelArray], layer: Layer, placement: Placement, about: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the metadata of a precomputed volume, its info last."""
    if placement.voxel_size_um is None:
        logger.warning("%s: the voxel size is not known, and stands as 1 micrometer", arrays[0].folder)
    size = placement.pixel_size
    scales = []
    for array in arrays:
        nanometers = [1000 * side * factor for side, factor in zip(size, array.level.factor, strict=True)]
        scales.append(
            {
                **_scale(array.number, array.level, array.num_channels, array.dtype),
                "resolution": list(reversed(nanometers)),
                "chunk_sizes": [list(reversed(array.chunk))],
            }
        )
    info: dict[str, Any] = {
        "@type": "neuroglancer_multiscale_volume",
        "type": "segmentation" if layer.classes else "image",
        "data_type": layer.dtype,
        "num_channels": arrays[0].num_channels or 1,
        "scales": scales,
    }
    if layer.classes:
        info[_PROPERTIES] = _PROPERTIES
        labels = {"id": "label", "type": "label", "values": list(layer.classes)}
        inline = {"ids": [str(value) for value in range(len(layer.classes))], "properties": [labels]}
        yield f"{_PROPERTIES}/info", _json({"@type": "neuroglancer_segment_properties", "inline": inline})
    if about:
        info["mtneuro"] = about
    yield "info", _json(info)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1).encode()
