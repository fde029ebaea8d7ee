"""Confusion matrices as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mtneuro_ray.results.methods import network_of
from mtneuro_ray.storage.records import RunRecord


def draw_confusion(records: Sequence[RunRecord], title: str) -> Figure:
    """How often each true class, in rows, was taken for which one, in the test split of all seeds together.

    Args:
        records: The finished seeds of one method.
        title: Of the figure.
    """
    task = records[0].settings["task"]
    counts = np.sum([record.metrics["test"]["confusion"] for record in records], axis=0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    classes, side = task["classes"], 1.6 + 0.9 * len(task["classes"])
    figure = Figure(figsize=(side + 1.4, side), layout="constrained")
    axis = figure.subplots()
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.5 else "black"
        axis.text(column, row, f"{100 * share:.1f} %", ha="center", va="center", color=colour)
    what = "voxels" if task["task"] == "segmentation" else _samples_of(records[0])
    axis.set_xticks(range(len(classes)), classes)
    axis.set_yticks(range(len(classes)), [f"{name}\n{n:,}" for name, n in zip(classes, counts.sum(1), strict=True)])
    axis.set(xlabel="predicted", ylabel=f"truth, and its {what}")
    axis.set_title(title, fontsize=10)
    figure.colorbar(picture, ax=axis, label="share of the true class", shrink=0.85)
    return figure


def _samples_of(record: RunRecord) -> str:
    """What a classification counts."""
    return "corners of images" if network_of(record)["evaluation"]["eval_crops"] == "corners" else "images"
