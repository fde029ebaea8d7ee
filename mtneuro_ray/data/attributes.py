"""The semantic attributes of Task 3: their order in every array and table, headings and units."""

from __future__ import annotations

ATTRIBUTES = ("vessels", "axons", "cell_count", "cell_size", "cell_distance")
IN_UM = ("cell_size_um3", "cell_distance_um")
"""Cell size and distance once more where the voxel size is known; they follow ATTRIBUTES."""

KINDS = ("vessels", "cells", "axons")
"""Names of the classes that the attributes are measured on."""

HEADINGS = {
    "vessels": "Vessels",
    "axons": "Axons",
    "cell_count": "Cell Count",
    "cell_size": "Cell Size",
    "cell_distance": "Dist (k=1)",
}

UNITS = {"vessels": "%", "axons": "%", "cell_count": "", "cell_size": "px", "cell_distance": "px"}
"""Pixels are voxels of the volume, at any resolution of an encoder's input."""


def names_of(count: int) -> tuple[str, ...]:
    """Names of 5 columns of attributes, or of 7 where the voxel size is known."""
    return (*ATTRIBUTES, *IN_UM)[:count]
