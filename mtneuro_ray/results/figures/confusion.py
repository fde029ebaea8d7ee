"""Confusion matrices as pictures."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mtneuro_ray.results.charts.confusion import Confusion


def draw_confusion(found: Confusion) -> Figure:
    """Predicted classes (columns) as shares of each true class (rows), in the test split of all seeds of one method."""
    classes = found.classes
    side = 1.6 + 0.9 * len(classes)
    figure = Figure(figsize=(side + 1.4, side), layout="constrained")
    axis = figure.subplots()
    picture = axis.imshow(found.shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(found.shares):
        color = "white" if share > 0.5 else "black"
        axis.text(column, row, f"{100 * share:.1f} %", ha="center", va="center", color=color)
    totals = found.counts.sum(axis=1)
    axis.set_xticks(range(len(classes)), classes)
    axis.set_yticks(range(len(classes)), [f"{name}\n{n:,}" for name, n in zip(classes, totals, strict=True)])
    axis.set(xlabel="predicted", ylabel=f"truth, and its {found.unit}")
    axis.set_title("\n".join(found.lines), fontsize=10)
    figure.colorbar(picture, ax=axis, label="share of the true class", shrink=0.85)
    return figure
