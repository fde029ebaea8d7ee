"""The semantic attributes of Task 3: the order that every array and table has them in, headings and units."""

from __future__ import annotations

ATTRIBUTES = ("vessels", "axons", "cell_count", "cell_size", "cell_distance")

KINDS = ("vessels", "cells", "axons")
"""Names of the classes that they are measured of."""

HEADINGS = {
    "vessels": "Vessels",
    "axons": "Axons",
    "cell_count": "Cell Count",
    "cell_size": "Cell Size",
    "cell_distance": "Dist (k=1)",
}

UNITS = {"vessels": "%", "axons": "%", "cell_count": "", "cell_size": "px", "cell_distance": "px"}
"""Pixels are those of the volume, whatever resolution an encoder sees."""
