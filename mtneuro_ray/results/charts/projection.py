"""Embeddings in two dimensions: their projection, stored beside them."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtneuro_ray.data import embeddings
from mtneuro_ray.data.embeddings import Embeddings, Vectors
from mtneuro_ray.storage.folder import Folder

logger = logging.getLogger(__name__)

Points = npt.NDArray[np.float32]

PROJECTED = ".umap.npy"
"""Ending of the files of points."""
_SEED = 0


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
    return f"{run_id}{PROJECTED}"


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
