"""Scenes for pictures of predictions: image, truth and predictions of the same box."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.label_keys import Absent
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.config.volumes import Sizes, sides_um
from mtneuro_ray.data.mosaic import EMPTY, assemble
from mtneuro_ray.data.predictions import Predictions
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.shown import shown
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Shape

MICROMETER = "\u00b5m"
SplitLoader = Callable[[RunSettings, Split], SplitArrays]


class SceneLayer(NamedTuple):
    """True and predicted classes of a box in one run, (Z, Y, X), EMPTY where nothing was read, counts or is predicted.

    `absent` is that of the task; `others` are the predictions of the other seeds of the run, as far as they are there.
    """

    task: str
    classes: tuple[str, ...]
    truth: Bytes
    predicted: Bytes
    absent: Absent = "leave_out"
    others: tuple[Bytes, ...] = ()

    @property
    def slices(self) -> npt.NDArray[np.int64]:
        """(N,) indices of the slices that were predicted."""
        return np.flatnonzero((self.predicted != EMPTY).any(axis=(1, 2)))

    @property
    def disagreement(self) -> npt.NDArray[np.float32] | None:
        """(Z, Y, X) 1 - the sum over classes of the squared shares of the seeds that predict them; None for one seed.

        It is 0 where all seeds agree, and the disagreement of an ensemble (`engine.ensemble`) whose models are certain.
        """
        if not self.others:
            return None
        seeds = (self.predicted, *self.others)
        found = np.ones(self.predicted.shape, np.float32)
        for value in range(len(self.classes)):
            found -= (sum((own == value).astype(np.float32) for own in seeds) / np.float32(len(seeds))) ** 2
        found[self.predicted == EMPTY] = 0.0
        return found

    def mean_iou(self, z: int) -> float:
        """Mean IoU over the classes of slice z, by the rule of the task's metrics; NaN where no voxel counts."""
        truth, predicted = self.truth[z], self.predicted[z]
        known = (predicted != EMPTY) & (truth != EMPTY)
        ratios = []
        for value in range(len(self.classes)):
            true, own = (truth == value) & known, (predicted == value) & known
            either = int((true | own).sum())
            if true.any() or (self.absent == "one" and known.any()):
                ratios.append(int((true & own).sum()) / either if either else 1.0)
        return sum(ratios) / len(ratios) if ratios else math.nan


class Scene(NamedTuple):
    """One box of the volume, with the predictions of one model for each task.

    Attributes:
        model: Name of the model in tables.
        region: Region of the box.
        split: Split of the box.
        offset: Voxel of the volume at the lowest corner, z, y, x.
        step: Voxels from one pixel to the next, z, y, x.
        voxel_size_um: Sides of a voxel z, y, x in micrometers, or one number for all; None if they are unknown.
        image: (Z, Y, X) grey values.
        layers: One per task, the fewest classes first.
    """

    model: str
    region: str
    split: Split
    offset: Shape
    step: Shape
    voxel_size_um: float | Sizes | None
    image: Bytes
    layers: tuple[SceneLayer, ...]

    @property
    def pixel(self) -> tuple[float, float, float]:
        """Size of a pixel along z, y, x, in `unit`."""
        z, y, x = (step * side for step, side in zip(self.step, sides_um(self.voxel_size_um or 1.0), strict=True))
        return (z, y, x)

    @property
    def unit(self) -> str:
        """Micrometers, or voxels if their size is unknown."""
        return "voxels" if self.voxel_size_um is None else MICROMETER

    @property
    def richest(self) -> SceneLayer:
        """The layer with the most classes."""
        return self.layers[-1]

    @property
    def shown_slice(self) -> int:
        """Index of the predicted slice whose true classes are mixed most evenly."""
        truth, classes = self.richest.truth, len(self.richest.classes)
        mixture = [_entropy(np.bincount(plane.ravel(), minlength=EMPTY + 1)[:classes]) for plane in truth]
        return max(map(int, self.richest.slices), key=lambda z: mixture[z])


def scenes_of(
    runs: Iterable[tuple[RunSettings, Predictions]],
    load: SplitLoader,
    others: Mapping[str, Sequence[Predictions]] | None = None,
) -> list[Scene]:
    """The boxes that runs of one model have predicted; tasks that share a box and its slices stand together.

    Args:
        runs: Runs with their predictions.
        load: Gives a split of a run.
        others: Run id -> predictions of the other seeds of that run.
    """
    found: dict[tuple[object, ...], Scene] = {}
    for run, predictions in sorted(runs, key=lambda pair: (len(pair[0].task.classes), pair[0].task.name)):
        for scene in _scenes_of_run(run, predictions, load(run, predictions.split), (others or {}).get(run.run_id, ())):
            key = (run.data[0], scene.region, scene.offset, scene.step, tuple(scene.layers[0].slices))
            earlier = found[key].layers if key in found else ()
            found[key] = scene._replace(layers=(*earlier, *scene.layers))
    return list(found.values())


def _scenes_of_run(
    run: RunSettings, predictions: Predictions, arrays: SplitArrays, others: Sequence[Predictions]
) -> list[Scene]:
    assert arrays.masks is not None
    images = assemble(run.task, predictions.split, shown(arrays.images))
    truths = assemble(run.task, predictions.split, arrays.masks)
    return [
        Scene(
            model=run.model,
            region=cube.region,
            split=predictions.split,
            offset=cube.offset,
            step=cube.step,
            voxel_size_um=predictions.voxel_size_um,
            image=image.crop(cube),
            layers=(
                SceneLayer(
                    run.task.name,
                    run.task.classes,
                    truth.crop(cube),
                    cube.pixels,
                    run.task.absent,
                    tuple(own.cubes[place].pixels for own in others),
                ),
            ),
        )
        for place, (cube, image, truth) in enumerate(zip(predictions.cubes, images, truths, strict=True))
    ]


def of_regions(scenes: Sequence[Scene], regions: Sequence[str]) -> list[Scene]:
    """The scenes of these regions; all scenes if none is named.

    Raises:
        InputError: a region has no scene.
    """
    there = dict.fromkeys(scene.region for scene in scenes)
    for region in regions:
        if region not in there:
            raise InputError(f"--region: {region!r} was not predicted; accepted: {', '.join(there) or 'nothing yet'}")
    return [scene for scene in scenes if not regions or scene.region in regions]


def _entropy(counts: npt.NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / max(int(counts.sum()), 1)
    return float(-(shares * np.log(shares)).sum())
