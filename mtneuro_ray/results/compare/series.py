"""The images of a run as positions along pieces of tissue, with what they add to a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import Cube, TaskSettings
from mtneuro_ray.data.attributes import ATTRIBUTES
from mtneuro_ray.errors import InputError
from mtneuro_ray.metrics import METRICS
from mtneuro_ray.metrics.base import Measure, ratio
from mtneuro_ray.metrics.regression import NAME, regression_measures
from mtneuro_ray.results.compare.correlation import Floats, Whole
from mtneuro_ray.results.frame import Key, Run
from mtneuro_ray.results.tasks import declared, kind_of
from mtneuro_ray.storage.image_scores import ImageScores

# Relative step of the numeric derivative: small beside what makes a metric bend, large beside rounding.
_STEP = 1e-3
# Difference from the run file that rounding explains.
_ROUNDING = 1e-6

Reader = Callable[[Run], ImageScores | None]


class Places(NamedTuple):
    """Positions of images along pieces of tissue, and how many images each run has.

    Attributes:
        pieces: (P,) number of the piece; the positions of a piece stand together, in their order.
        images: Number of images.
        of_image: (N,) position of each image.
        origins: (N, 4) number of its cube and its lowest voxel, by which the images of two runs are matched.
    """

    pieces: Whole
    images: int
    of_image: Whole
    origins: Whole

    def summed(self, values: npt.NDArray[Any]) -> Floats:
        """Sums (P, Q) over the images of each position of values (N, Q)."""
        found = np.zeros((len(self.pieces), values.shape[1]))
        np.add.at(found, self.of_image, values)
        return found


@dataclass(frozen=True)
class Series:
    """A metric of one run by position.

    Attributes:
        places: Its images.
        sums: (P, Q) what the images of a position add.
        weights: (P, K) what they add to the denominators of the K ratios that the metric consists of.
        value: Totals (..., Q) -> the metric (...).
    """

    places: Places
    sums: Floats
    weights: Floats
    value: Callable[[npt.NDArray[Any]], Floats]

    @property
    def total(self) -> float:
        """The metric over all images."""
        return float(self.value(self.sums.sum(0)))

    def shares(self) -> Floats:
        """First-order part (P,) of each position in the metric: the derivative in the direction of what it adds.

        Where each position has a single class, classes are strata: other images would have as many of each, so that how
        far the classes differ is no chance, and each class's mean is taken off (post-stratification).
        """
        total = self.sums.sum(0)
        more, less = (self.value(total + sign * _STEP * self.sums) for sign in (1, -1))
        found: Floats = (more - less) / (2 * _STEP)
        has = self.weights > 0
        if (has.sum(1) <= 1).all():
            of_class = ratio(has.T @ found, self.weights.sum(0), 0.0)
            found -= self.weights @ of_class
        return found


@dataclass
class ScoredImages:
    """The scores of single images of many runs, read once.

    `read` gives the scores of a run, or None if there are none.
    """

    read: Reader
    _measures: dict[tuple[str, str], tuple[Places, Mapping[str, Measure]] | None] = field(default_factory=dict)

    def series(self, run: Run, key: Key) -> Series | None:
        """A metric of a run by position; None if its scores are missing, damaged, or not those of its run file."""
        known = (run.run_id, key.split)
        if known not in self._measures:
            self._measures[known] = self._of(run, key.split)
        found = self._measures[known]
        measure = None if found is None else found[1].get(key.metric)
        if found is None or measure is None or key.region:
            return None
        places, value, weights = found[0], measure.value, measure.weights
        if weights is None:
            weights = np.ones((places.images, 1))
        if key.class_:
            value, weights = _of_class(measure, weights, run.classes.index(key.class_))
        series, expected = Series(places, places.summed(measure.sums), places.summed(weights), value), run.value(key)
        return series if expected is not None and abs(series.total - expected) <= _ROUNDING else None

    def _of(self, run: Run, split: str) -> tuple[Places, Mapping[str, Measure]] | None:
        scores = self.read(run)
        if scores is None or split not in scores.splits:
            return None
        chosen = scores.splits == split
        places = _places(_task(run.task_json), split, scores.cubes[chosen], scores.origins[chosen])
        measures: dict[str, Measure] = {}
        for name, rows in scores.rows.items():
            measures |= _measures_of(run, name, rows[chosen])
        return places, measures


def _of_class(measure: Measure, weights: Floats, place: int) -> tuple[Callable[[npt.NDArray[Any]], Floats], Floats]:
    """The metric of one class, and the weights of its ratio."""
    own = weights[:, place : place + 1] if weights.shape[1] > 1 else weights
    return lambda totals: measure.value(totals)[..., place], own


def _measures_of(run: Run, name: str, rows: npt.NDArray[Any]) -> Mapping[str, Measure]:
    """Measures of the rows of one metric; none of a plugin's that is not installed here."""
    own = declared(kind_of(run))
    if own is not None and own.reads_encoder:
        return regression_measures(rows, ATTRIBUTES, len(ATTRIBUTES)) if name == NAME else {}
    try:
        found: Mapping[str, Measure] = METRICS.find(name).resolve()(_task(run.task_json)).measures(rows)
        return found
    except InputError:
        return {}


@lru_cache(maxsize=1 << 10)
def _task(task_json: str) -> TaskSettings:
    return TaskSettings.model_validate_json(task_json)


def _places(task: TaskSettings, split: str, cubes: Whole, origins: Whole) -> Places:
    """Positions along the axis on which most images lie one behind the other; what differs along others is together."""
    own = [number for number, cube in enumerate(task.cubes) if split in ("all", cube.split)]
    pieces = np.array(_pieces([task.cubes[number] for number in own]), np.int64)
    piece = np.zeros(len(task.cubes), np.int64)
    piece[own] = pieces
    of_image = piece[cubes]
    along = [np.unique(np.stack([of_image, origins[:, axis]]), axis=1, return_inverse=True) for axis in range(3)]
    positions, inverse = max(along, key=lambda found: found[0].shape[1])
    return Places(positions[0], len(cubes), inverse.ravel(), np.column_stack([cubes, origins]))


def _pieces(cubes: list[Cube]) -> list[int]:
    """Number of the piece of tissue of each cube: cubes of one volume that touch are one piece."""
    from scipy.sparse.csgraph import connected_components

    low = np.array([cube.roi.origin for cube in cubes])
    high = low + np.array([cube.roi.shape for cube in cubes])
    names = np.array([cube.volume or "" for cube in cubes])
    touch = (low[:, None] <= high).all(-1) & (low <= high[:, None]).all(-1) & (names[:, None] == names)
    labels: list[int] = connected_components(touch, directed=False)[1].tolist()
    return labels
