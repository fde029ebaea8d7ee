"""Colors of classes, as in the paper's Figure 3, with their legend; colors of other series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

Colours = dict[str, tuple[float, float, float]]

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colors of Okabe and Ito, which the color-blind can tell apart."""
_PAPER = {"axons": "cyan", "vessels": "red", "cells": "yellow"}
_OTHERS = (*SERIES[2:], *SERIES[1::-1])


def colors_of(classes: Sequence[str]) -> Colours:
    """Class -> red, green and blue from 0 to 1. The first class, the background, has none."""
    others = iter(_OTHERS * (1 + len(classes) // len(_OTHERS)))
    return {name: to_rgb(_PAPER.get(name) or next(others)) for name in classes[1:]}


def painted(
    image: npt.NDArray[np.uint8], values: npt.NDArray[np.uint8], classes: Sequence[str], strength: float = 0.6
) -> npt.NDArray[np.float64]:
    """Grey values (Y, X) under the colors of their classes (Y, X): red, green and blue (Y, X, 3) from 0 to 1."""
    picture = np.repeat(image[..., None] / 255, 3, axis=2)
    for value, name in enumerate(classes):
        if value:
            here = values == value
            picture[here] = (1 - strength) * picture[here] + strength * np.array(colors_of(classes)[name])
    return picture


def add_legend(figure: Figure, classes: Iterable[Sequence[str]], **place: Any) -> None:
    """Add one legend for the classes of all panels."""
    colors: Colours = {}
    for names in classes:
        colors.update(colors_of(names))
    handles = [Patch(facecolor=color, edgecolor="#555", label=name) for name, color in colors.items()]
    figure.legend(handles=handles, ncols=len(handles), frameon=False, **place)
