"""Slices with truth and predictions overlaid: the paper's Figure 3 A."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from mtneuro_ray.results.charts.scenes import Scene
from mtneuro_ray.results.figures.colors import add_legend, painted

_PANEL_INCHES = 2.7
# Length of the scale bar, as a share of a panel's width.
_BAR = 0.25


def draw_slices(scenes: Sequence[Scene]) -> Figure:
    """A row per region: its slice richest in structure, with the truth over it, and the prediction of each task.

    A last column shows where the seeds of the task with the most classes disagree, if several have predicted. y points
    down, as in the volume's slices.
    """
    tasks = list(dict.fromkeys(layer.task for scene in scenes for layer in scene.layers))
    disagree = any(scene.richest.others for scene in scenes)
    columns = 2 + len(tasks) + disagree
    figure = Figure(figsize=(_PANEL_INCHES * columns, (_PANEL_INCHES + 0.35) * len(scenes) + 0.9), layout="constrained")
    axes = figure.subplots(len(scenes), columns, squeeze=False)
    for row, scene in zip(axes, scenes, strict=True):
        _draw_row(row[: 2 + len(tasks)], scene, tasks)
        if disagree:
            _draw_disagreement(row[-1], scene)
    headings = ["image", "ground truth", *(f"prediction\n{name}" for name in tasks)]
    for axis, heading in zip(axes[0], [*headings, *(["seeds disagree"] if disagree else [])], strict=True):
        axis.set_title(f"{heading}\n{axis.get_title()}".rstrip(), fontsize=10)
    figure.suptitle(f"{scenes[0].model}, {scenes[0].split} split")
    add_legend(figure, [scene.richest.classes for scene in scenes], loc="outside lower center")
    return figure


def _draw_row(axes: Sequence[Any], scene: Scene, tasks: Sequence[str]) -> None:
    z = scene.shown_slice
    image, layers = scene.image[z], {layer.task: layer for layer in scene.layers}
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    axes[0].imshow(image, cmap="gray", vmin=0, vmax=255)
    axes[0].set_ylabel(f"{scene.region}\nz {scene.offset[0] + z}", fontsize=11)
    _draw_bar(axes[0], scene)
    axes[1].imshow(painted(image, scene.richest.truth[z], scene.richest.classes))
    for axis, task in zip(axes[2:], tasks, strict=True):
        if task in layers:
            layer = layers[task]
            axis.imshow(painted(image, layer.predicted[z], layer.classes))
            score = layer.mean_iou(z)
            axis.set_title(f"mean IoU {'-' if math.isnan(score) else f'{score:.2f}'}", fontsize=10)
        else:
            axis.set_frame_on(False)
            axis.text(0.5, 0.5, "not in\nthis task", ha="center", va="center", color="#777", transform=axis.transAxes)


def _draw_disagreement(axis: Any, scene: Scene) -> None:
    """Draw the disagreement of the seeds over the grey values, from 0 (none) to 1 - 1 / seeds (most)."""
    axis.set(xticks=[], yticks=[])
    found = scene.richest.disagreement
    if found is None:
        axis.set_frame_on(False)
        return
    axis.imshow(scene.image[scene.shown_slice], cmap="gray", vmin=0, vmax=255)
    shown = found[scene.shown_slice]
    axis.imshow(shown, cmap="inferno", vmin=0, vmax=1, alpha=(shown > 0) * 0.85)
    axis.set_title(f"mean {shown.mean():.3f}", fontsize=10)


def _draw_bar(axis: Any, scene: Scene) -> None:
    """Draw a bar of a round length in the lower right corner."""
    height, width = scene.image.shape[1:]
    side = scene.pixel[2]
    length = _round_length(_BAR * width * side)
    right, low = 0.95 * width, 0.93 * height
    axis.plot([right - length / side, right], [low, low], color="white", lw=3, solid_capstyle="butt")
    label = f"{length:g} {scene.unit}"
    axis.text(
        right - length / side / 2, low - 0.02 * height, label, color="white", ha="center", va="bottom", fontsize=9
    )


def _round_length(most: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is no longer than `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return power * max(factor for factor in (1, 2, 5) if factor * power <= most * (1 + 1e-9))
