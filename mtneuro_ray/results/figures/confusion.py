"""Confusion matrices as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mtneuro_ray.results.cautions import confusion_of
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.tasks import unit_of


def draw_confusion(seeds: Sequence[Run], title: str) -> Figure:
    """Predicted classes (columns) as shares of each true class (rows), in the test split of all seeds of one method."""
    classes = seeds[0].classes
    counts = np.sum([counts for run in seeds if (counts := confusion_of(run))], axis=0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.6 + 0.9 * len(classes)
    figure = Figure(figsize=(side + 1.4, side), layout="constrained")
    axis = figure.subplots()
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.5 else "black"
        axis.text(column, row, f"{100 * share:.1f} %", ha="center", va="center", color=color)
    crops = seeds[0].network.get("evaluation.eval_crops") == "corners"
    unit = {"samples": "corners of images" if crops else "images"}.get(unit_of(seeds[0]), "voxels")
    axis.set_xticks(range(len(classes)), classes)
    axis.set_yticks(range(len(classes)), [f"{name}\n{n:,}" for name, n in zip(classes, counts.sum(1), strict=True)])
    axis.set(xlabel="predicted", ylabel=f"truth, and its {unit}")
    axis.set_title(title, fontsize=10)
    figure.colorbar(picture, ax=axis, label="share of the true class", shrink=0.85)
    return figure
