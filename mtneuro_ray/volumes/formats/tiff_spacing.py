"""Voxel sizes of OME-TIFF and ImageJ files. Plain TIFF has none: its resolution tags are for printing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.array_metadata import micrometers_of

logger = logging.getLogger(__name__)


def spacing_um(tiff: Any, axes: Sequence[str], where: str) -> tuple[float, ...]:
    """Voxel size in micrometers along each axis, 0 along those that are no space; empty where it is not known.

    Args:
        tiff: The open `TiffFile`.
        axes: Names of the axes.
        where: Address of the file, for messages.

    Raises:
        InputError: the file's OME-XML is unusable.
    """
    if tiff.is_ome:
        sizes = _of_ome(str(tiff.ome_metadata), where)
    elif tiff.is_imagej:
        sizes = _of_imagej(tiff.imagej_metadata or {}, tiff.pages[0].tags, "z" in axes, where)
    else:
        return ()
    space = [axis for axis in axes if axis in ("z", "y", "x")]
    if not all(sizes.get(axis, 0.0) > 0 for axis in space):
        return ()
    return tuple(sizes[axis] if axis in space else 0.0 for axis in axes)


def _of_ome(xml: str, where: str) -> dict[str, float]:
    try:
        pixels = next(each for each in ElementTree.fromstring(xml).iter() if each.tag.rpartition("}")[2] == "Pixels")
        sizes = {}
        for axis in "zyx":
            size = pixels.get(f"PhysicalSize{axis.upper()}")
            factor = micrometers_of(pixels.get(f"PhysicalSize{axis.upper()}Unit", "um"))
            if size is not None and factor is not None:
                sizes[axis] = float(size) * factor
    except Exception as error:  # metadata by others may be anything
        raise InputError(
            f"{where}: OME-XML: unusable ({type(error).__name__}: {error}); accepted: as OME has it"
        ) from None
    return sizes


def _of_imagej(metadata: Mapping[str, Any], tags: Any, deep: bool, where: str) -> dict[str, float]:
    """ImageJ keeps the spacing of planes in its description, and pixels per unit in the resolution tags."""
    factor = micrometers_of(str(metadata.get("unit", "")).replace("\\u00B5", "\u00b5"))
    if factor is None:
        return {}
    sizes = {}
    for axis in "yx":
        tag = tags.get(f"{axis.upper()}Resolution")
        numerator, denominator = tag.value if tag is not None else (0, 1)
        if numerator and denominator:
            sizes[axis] = factor * denominator / numerator
    if deep and "spacing" not in metadata:
        logger.warning("%s: names no spacing of planes: 1 %s is assumed, as ImageJ does", where, metadata["unit"])
    sizes["z"] = factor * float(metadata.get("spacing", 1.0))
    return sizes
