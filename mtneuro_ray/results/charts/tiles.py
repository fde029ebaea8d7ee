"""Embeddings in a plane, with a small picture of the corner of an image behind each point."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import SPLITS, Split
from mtneuro_ray.data.attributes import names_of
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.shown import shown
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.results.charts.projection import Projection
from mtneuro_ray.results.charts.ranges import thinned
from mtneuro_ray.roi import corners

MOST_POINTS = 4000
"""Points that a page shows; of more, every nth."""
SIDE = 32
"""Pixels along a side of a tile."""
ROW = 64
"""Tiles in a row of the sheet."""
_QUALITY = 75


class Cloud(NamedTuple):
    """Embeddings of one encoder as points with attributes.

    Attributes:
        title: The encoder, its task and the readout's.
        points: (M, 2) places in the plane.
        regions: (M,) names of regions.
        splits: (M,) names of splits.
        origins: (M, 3) lowest voxel z, y, x of the corner.
        attributes: Name -> (M,) values.
        tiles: (M, SIDE, SIDE) grey values; None where the images are not in the store.
        left_out: Number of points that are not shown.
    """

    title: str
    points: npt.NDArray[np.float32]
    regions: list[str]
    splits: list[str]
    origins: npt.NDArray[np.int64]
    attributes: dict[str, npt.NDArray[np.float64]]
    tiles: Bytes | None
    left_out: int


def cloud_of(projection: Projection, tiles: Bytes | None, most: int = MOST_POINTS) -> Cloud:
    """The points of a projection; `tiles` are (M, SIDE, SIDE), in the order of the embeddings."""
    own = projection.embeddings
    kept = np.array(thinned(range(len(own.vectors)), most))
    about = own.about
    return Cloud(
        f"{about.network}, seed {about.seed}, trained on {about.encoder_task}, reads {about.task}",
        projection.points[kept],
        own.regions[kept].tolist(),
        own.splits[kept].tolist(),
        own.origins[kept],
        {name: own.targets[kept, place] for place, name in enumerate(names_of(own.targets.shape[1]))},
        None if tiles is None or len(tiles) != len(own.vectors) else tiles[kept],
        len(own.vectors) - len(kept),
    )


def tiles_of(
    run: RunSettings, splits: npt.NDArray[np.str_], load: Callable[[RunSettings, Split], SplitArrays]
) -> Bytes:
    """Tiles (M, SIDE, SIDE) of the corners of a readout's images, in the order of its embeddings.

    Args:
        run: The readout.
        splits: (M,) split of each embedding.
        load: Gives the images of a split.

    Raises:
        StoreError: voxels are missing in the store.
    """
    there = set(splits.tolist())
    found = [_tile(image) for split in SPLITS if split in there for image in shown(load(run, split).images)]
    return np.concatenate(found) if found else np.empty((0, SIDE, SIDE), np.uint8)


def _tile(image: Bytes) -> Bytes:
    """The four corners of one image (Z, Y, X), its middle slice: (4, SIDE, SIDE)."""
    plane = image[len(image) // 2]
    parts = [Image.fromarray(np.ascontiguousarray(plane[place]), "L") for place in corners(*plane.shape)]
    return np.stack([np.asarray(part.resize((SIDE, SIDE), Image.Resampling.BOX)) for part in parts])


def sheet_bytes(tiles: Bytes) -> bytes:
    """All tiles side by side, ROW in a row, as JPEG."""
    rows = -(-len(tiles) // ROW)
    sheet = np.zeros((rows * ROW, SIDE, SIDE), np.uint8)
    sheet[: len(tiles)] = tiles
    joined = sheet.reshape(rows, ROW, SIDE, SIDE).swapaxes(1, 2).reshape(rows * SIDE, ROW * SIDE)
    out = io.BytesIO()
    Image.fromarray(joined, "L").save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
