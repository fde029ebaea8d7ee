"""Views of images and the views mined for them: the paper's Figure A3."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mtneuro_ray.data.mined_views import Views

# Frames of the views; the pool is compared with the first one.
_VIEWS = ("red", "#56b4e9")
_MINED = "#e69f00"
_PANEL_INCHES = 1.9


def draw_views(examples: Views, title: str) -> Figure:
    """A row per image: the places of its views, the views, the mined view, and other crops of the pool."""
    rows, shown = examples.cosines.shape
    columns = 1 + examples.views.shape[1] + shown
    figure = Figure(figsize=(_PANEL_INCHES * columns, (_PANEL_INCHES + 0.3) * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for number, row in enumerate(axes):
        for axis in row:
            axis.set(xticks=[], yticks=[])
        _draw_image(row[0], examples, number)
        own, pool = row[1 : columns - shown], row[columns - shown :]
        for axis, view, color in zip(own, examples.views[number], _VIEWS, strict=True):
            _draw_crop(axis, view, color)
        for rank, axis in enumerate(pool):
            _draw_crop(axis, examples.pool[number, rank], None if rank else _MINED)
            axis.set_xlabel(
                f"{examples.pool_regions[number, rank]}, cosine {examples.cosines[number, rank]:.3f}", fontsize=9
            )
    others = ["less alike"] * max(0, shown - 2) + ["least alike"] * (shown > 1)
    headings = ("image", "view", "augmented view", "mined view", *others)
    for axis, heading in zip(axes[0], headings, strict=True):
        axis.set_title(heading, fontsize=10)
    figure.suptitle(f"{title}\nmined in a pool of {int(examples.pool_size[0])} crops of other images", fontsize=11)
    return figure


def _draw_image(axis: Any, examples: Views, number: int) -> None:
    """Draw an image with the places of its views."""
    axis.imshow(examples.images[number], cmap="gray", vmin=0, vmax=255)
    axis.set_ylabel(str(examples.regions[number]), fontsize=11)
    height, width = examples.views.shape[-2:]
    for (y, x), color in zip(examples.corners[number], _VIEWS, strict=True):
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=color, lw=1.6))


def _draw_crop(axis: Any, crop: np.ndarray[Any, np.dtype[np.uint8]], color: str | None) -> None:
    """Draw a crop, in a frame of a color if it has one."""
    axis.imshow(crop, cmap="gray", vmin=0, vmax=255)
    for spine in axis.spines.values():
        spine.set(visible=color is not None, edgecolor=color, linewidth=2.5)
