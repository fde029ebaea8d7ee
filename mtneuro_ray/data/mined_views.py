"""Views on disk: augmented crops of self-supervised training, and their nearest neighbours in feature space.

`OUT/views/<run_id>.npz` holds the arrays of `Views`, by name.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from mtneuro_ray.data.store import Bytes
from mtneuro_ray.errors import parsing
from mtneuro_ray.storage.folder import Folder

FOLDER = "views"


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Views of R images, and P crops of other images for each, in falling similarity to its first view.

    Grey values are those of the first channel, as bytes (`data.shown`).

    Attributes:
        regions: (R,) regions of the images.
        images: (R, Y, X) grey values.
        corners: (R, V, 2) first row and column of each view's crop.
        views: (R, V, y, x) the views.
        pool_regions: (R, P) regions of the images from which the crops of the pool are cut.
        pool: (R, P, y, x) crops of the pool, the mined view first.
        cosines: (R, P) cosine similarity between the features of these and of the first view.
        pool_size: (1,) number of crops that were searched.
    """

    regions: npt.NDArray[np.str_]
    images: Bytes
    corners: npt.NDArray[np.int64]
    views: Bytes
    pool_regions: npt.NDArray[np.str_]
    pool: Bytes
    cosines: npt.NDArray[np.float32]
    pool_size: npt.NDArray[np.int64]


def write(out: Folder, run_id: str, views: Views) -> None:
    """Write the examples of a run into an output folder, whole or not at all."""
    content = io.BytesIO()
    np.savez_compressed(content, **{field.name: getattr(views, field.name) for field in fields(Views)})
    (out / FOLDER).write(f"{run_id}.npz", content.getvalue())


def exist(out: Folder, run_id: str) -> bool:
    """Whether there are examples of a run."""
    return (out / FOLDER).exists(f"{run_id}.npz")


def read(out: Folder, run_id: str) -> Views:
    """The examples of a run in an output folder.

    Raises:
        InputError: there are none, or the file is damaged.
    """
    folder, name = out / FOLDER, f"{run_id}.npz"
    with (
        parsing(folder / name, "set of views", "what `mtneuro-ray figures` has written"),
        np.load(io.BytesIO(folder.read(name))) as arrays,
    ):
        found = Views(**{field.name: arrays[field.name] for field in fields(Views)})
    return found
