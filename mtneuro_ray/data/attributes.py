"""The semantic attributes of Task 3: their order in every array and table, headings and units."""

from __future__ import annotations

ATTRIBUTES = ("vessels", "axons", "cell_count", "cell_size", "cell_distance")

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
