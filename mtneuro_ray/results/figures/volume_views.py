"""Surfaces of predicted structures in 3D: the paper's Figure 3 B."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from skimage.measure import marching_cubes

from mtneuro_ray.data.store import Bytes
from mtneuro_ray.results.charts.scenes import Scene, SceneLayer
from mtneuro_ray.results.figures.colors import add_legend, colors_of

# Largest number of triangles of a view: matplotlib sorts and fills them one by one, which takes seconds.
_TRIANGLES = 80_000
# Share of the box from which a class is drawn as glass, and the opacity of glass.
_CROWDED = 0.2
_GLASS = 0.15
_FEWEST_SLICES = 2
_LIGHT = np.array([-0.4, -0.5, 0.77])
_VIEW = {"elev": 28, "azim": -58}

Floats = npt.NDArray[np.float64]


def longest_run(slices: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The longest half-open range of adjacent slices; ties go to the first."""
    parts = np.split(slices, np.flatnonzero(np.diff(slices) != 1) + 1)
    longest = max(parts, key=len)
    return int(longest[0]), int(longest[-1]) + 1


def has_depth(scene: Scene) -> bool:
    """Whether enough adjacent slices were predicted for a view in 3D."""
    start, stop = longest_run(scene.richest.slices)
    return stop - start >= _FEWEST_SLICES


def draw_volume(scene: Scene) -> Figure:
    """A row per task, the most classes first: surfaces of the truth and of the prediction."""
    start, stop = longest_run(scene.richest.slices)
    rows = scene.layers[::-1]
    figure = Figure(figsize=(11.5, (3.2 + 0.9 * _height(scene)) * len(rows) + 0.8), layout="constrained")
    # The layout underestimates the width of the last label of a 3D panel.
    figure.get_layout_engine().set(rect=(0, 0, 0.97, 1))  # type: ignore[union-attr, call-arg]
    for row, layer in enumerate(rows):
        for column, (heading, values) in enumerate((("ground truth", layer.truth), ("prediction", layer.predicted))):
            axis = figure.add_subplot(len(rows), 2, 2 * row + column + 1, projection="3d")
            _draw_surfaces(axis, scene, layer, values[start:stop])
            axis.set_title(f"{layer.task}: {heading}", fontsize=11)
    where = f"z {scene.offset[0] + start} to {scene.offset[0] + stop - 1}"
    figure.suptitle(f"{scene.model}, {scene.region}, {scene.split} split, {where}")
    add_legend(figure, [layer.classes for layer in rows], loc="outside lower center")
    return figure


def surfaces(values: Bytes, value: int, step: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Closed surfaces of one class in (Z, Y, X), found by marching cubes on every `step`-th pixel.

    Returns:
        Corners (V, 3) in pixels from the lowest corner of the box, z, y, x, and triangles (T, 3) as indices of corners.
    """
    # A rim of other voxels closes the surfaces at the faces of the box.
    inside = np.pad(values == value, step)
    if not inside.any():
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    found = marching_cubes(inside.astype(np.float32), 0.5, step_size=step)  # type: ignore[no-untyped-call]
    corners, triangles = found[:2]
    return corners.astype(np.float64) - step, triangles.astype(np.int64)


def colored_triangles(scene: Scene, layer: SceneLayer, values: Bytes) -> tuple[Floats, Floats]:
    """Surfaces of all classes but the background, in the truth or the prediction of a layer, (Z, Y, X).

    Returns:
        Triangles (T, 3 corners, x y z) from the middle of the lowest pixel, in the scene's unit, and colors (T, 4).
    """
    # A class that fills the box would hide the others; truth and prediction get the same opacity.
    shares = [
        max(np.mean(layer.truth == value), np.mean(layer.predicted == value)) for value in range(len(layer.classes))
    ]
    colors = [
        (*color, _GLASS if share > _CROWDED else 1.0)
        for share, color in zip(shares[1:], colors_of(layer.classes).values(), strict=True)
    ]
    step = 1
    while True:
        found = [surfaces(values, value, step) for value in range(1, len(layer.classes))]
        count = sum(len(triangles) for _, triangles in found)
        if count <= _TRIANGLES:
            break
        # The number of triangles falls with the square of the step.
        step = max(step + 1, round(step * (count / _TRIANGLES) ** 0.5))
    corners = np.concatenate([points[triangles] for points, triangles in found]) * np.array(scene.pixel)
    return corners[..., ::-1], np.repeat(colors, [len(triangles) for _, triangles in found], axis=0)


def _draw_surfaces(axis: Any, scene: Scene, layer: SceneLayer, values: Bytes) -> None:
    triangles, colors = colored_triangles(scene, layer, values)
    if len(triangles):
        # Pixels within a vector graphic: as shapes, the triangles would take tens of megabytes.
        surface = Poly3DCollection(triangles, facecolors=_shaded(triangles, colors), edgecolors="none", rasterized=True)
        axis.add_collection3d(surface)
    depth, height, width = np.array(values.shape) * np.array(scene.pixel)
    # The first slice is on top and y points to the reader, so that the box is not mirrored.
    axis.set(xlim=(0, width), ylim=(height, 0), zlim=(depth, 0))
    axis.set(xlabel=f"x / {scene.unit}", ylabel=f"y / {scene.unit}", zlabel=f"z / {scene.unit}")
    axis.zaxis.set_major_locator(MaxNLocator(2))
    axis.zaxis.labelpad = 0
    # A flat box leaves room above and below it.
    axis.set_box_aspect((width, height, depth), zoom=1.25 - 0.25 * _height(scene))
    axis.view_init(**_VIEW)


def _height(scene: Scene) -> float:
    """Height of the box relative to its longer side, at most 1."""
    depth, height, width = np.array(scene.image.shape) * np.array(scene.pixel)
    return float(min(1.0, depth / max(height, width)))


def _shaded(triangles: Floats, colors: Floats) -> Floats:
    """The colors (T, 4) under a light from one side, so that shapes stand out."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    lit = np.abs(normals / np.where(lengths == 0, 1, lengths) @ (_LIGHT / np.linalg.norm(_LIGHT)))
    return np.column_stack([colors[:, :3] * (0.45 + 0.55 * lit[:, None]), colors[:, 3]])
