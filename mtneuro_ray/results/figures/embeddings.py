"""Embeddings in two dimensions, colored by the attributes of their images (the paper's Figures 4 and A4)."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mtneuro_ray.data import embeddings
from mtneuro_ray.data.attributes import ATTRIBUTES, HEADINGS, UNITS
from mtneuro_ray.data.embeddings import Embeddings, Vectors
from mtneuro_ray.results.figures.colors import SERIES
from mtneuro_ray.storage.folder import Folder

logger = logging.getLogger(__name__)

Points = npt.NDArray[np.float32]

_SEED = 0
# Percentiles at the ends of a color scale, so that a few large cells do not flatten it.
_ENDS = (1, 99)


class Projection(NamedTuple):
    """Embeddings of one encoder, and their points in a plane, (M, 2)."""

    embeddings: Embeddings
    points: Points


def project(vectors: Vectors) -> Points:
    """UMAP of vectors (M, F) in a plane, (M, 2); the same points for the same vectors (McInnes et al. 2018)."""
    # UMAP compiles for seconds, which no other figure needs.
    from umap import UMAP

    # The default number of neighbours, if there are as many others.
    neighbours = min(15, len(vectors) - 1)
    points: Points = UMAP(n_neighbors=neighbours, random_state=_SEED, n_jobs=1).fit_transform(vectors)
    return points.astype(np.float32)


def _name_of(run_id: str) -> str:
    return f"{run_id}.umap.npy"


def is_projected(out: Folder, run_id: str) -> bool:
    """Whether the points of a readout run are stored; to compute them takes a minute."""
    return (out / embeddings.FOLDER).exists(_name_of(run_id))


def projection_of(out: Folder, run_id: str, announce: Callable[[str], None] | None = None) -> Projection:
    """The stored projection of a readout run, or a new one, which is stored beside the embeddings.

    Args:
        out: Output folder that holds the embeddings.
        run_id: Id of the readout run.
        announce: Receives a line before work that takes long.

    Raises:
        InputError: there are no embeddings, or they are damaged.
    """
    own, folder = embeddings.read(out, run_id), out / embeddings.FOLDER
    points = _stored(folder, run_id, len(own.vectors))
    if points is None:
        if announce is not None:
            announce(f"projecting {len(own.vectors)} embeddings of {own.about.network} on {own.about.task}")
        points = project(own.vectors)
        content = io.BytesIO()
        np.save(content, points)
        folder.write(_name_of(run_id), content.getvalue())
    return Projection(own, points)


def _stored(folder: Folder, run_id: str, count: int) -> Points | None:
    """Stored points; None if there are none, they are damaged, or they belong to other embeddings."""
    name = _name_of(run_id)
    try:
        points: Points = np.load(io.BytesIO(folder.read(name)))
    except FileNotFoundError:
        return None
    # What a damaged file makes of NumPy's parser is not one type of error.
    except Exception as error:
        logger.warning("%s: is damaged (%s): the embeddings are projected anew", folder / name, type(error).__name__)
        return None
    return points if points.shape == (count, 2) else None


def draw_embeddings(projections: Sequence[Projection], title: str) -> Figure:
    """A row per encoder of one method: its embeddings colored by region, then by each attribute."""
    columns = 1 + len(ATTRIBUTES)
    figure = Figure(figsize=(2.75 * columns, 2.75 * len(projections) + 0.7), layout="constrained")
    axes = figure.subplots(len(projections), columns, squeeze=False)
    regions = list(dict.fromkeys(name for own in projections for name in own.embeddings.regions.tolist()))
    colors = {name: SERIES[number % len(SERIES)] for number, name in enumerate(regions)}
    for row, own in zip(axes, projections, strict=True):
        about = own.embeddings.about
        row[0].set_ylabel(f"encoder of {about.encoder_task}\nseed {about.seed}", fontsize=9)
        _scatter(row[0], own.points, [colors[name] for name in own.embeddings.regions.tolist()])
        for axis, values in zip(row[1:], own.embeddings.targets.T[: len(ATTRIBUTES)], strict=True):
            low, high = np.percentile(values, _ENDS)
            dots = _scatter(axis, own.points, values, cmap="viridis", vmin=low, vmax=high)
            figure.colorbar(dots, ax=axis, shrink=0.8).ax.tick_params(labelsize=7)
    axes[0, 0].set_title("brain area", fontsize=10)
    for axis, name in zip(axes[0, 1:], ATTRIBUTES, strict=True):
        axis.set_title(f"{HEADINGS[name]}, {UNITS[name]}".removesuffix(", "), fontsize=10)
    handles = [Line2D([], [], ls="", marker="o", color=color, label=name) for name, color in colors.items()]
    figure.legend(handles=handles, ncols=len(handles), frameon=False, loc="outside lower left")
    figure.suptitle(title, fontsize=11)
    return figure


def _scatter(axis: Any, points: Points, colors: Any, **scale: Any) -> Any:
    axis.set(xticks=[], yticks=[])
    size = 400 / max(np.sqrt(len(points)), 20) / 4
    return axis.scatter(*points.T, c=colors, s=size, lw=0, alpha=0.8, **scale)
