"""Predictions and metrics of a model on a split, shared by the workers of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.cubes import Cubes
from mtneuro_ray.data.resident import DeviceSplit
from mtneuro_ray.data.samples import SplitData
from mtneuro_ray.data.sampling import numbered_samples
from mtneuro_ray.engine.cubes import judged_cells
from mtneuro_ray.metrics.base import ConfusionMetric, Metrics
from mtneuro_ray.models.build import autocast
from mtneuro_ray.rng import Indices
from mtneuro_ray.storage.image_scores import ImageScores, Rows
from mtneuro_ray.tasks.training.base import Judged, Task


def judged_parts(
    task: Task, module: nn.Module, split: DeviceSplit, context: WorkerContext
) -> Iterator[tuple[Judged, slice]]:
    """Predictions for this worker's share of a split, a part at a time, with the place of its images in the split."""
    if isinstance(split.data, Cubes):
        yield from judged_cells(task, module, split.data, context)
        return
    module.eval()
    for place, batch in split.walk(*context.share_of(len(split))):
        with autocast(task.network, context.device):
            judged = task.judge(module, batch)
        yield judged, place


class Measured(NamedTuple):
    """Metrics of a split (`evaluate`), with the state of all metrics over its images.

    Attributes:
        metrics: The metrics.
        states: State of each metric of the task.
        images: (M,) numbers of the images in the split, in the order of the states.
        is_counted: (M,) whether an image has a voxel that counts.
    """

    metrics: Metrics
    states: list[Any]
    images: Indices
    is_counted: npt.NDArray[np.bool_]


def evaluate(task: Task, module: nn.Module, split: DeviceSplit, context: WorkerContext) -> Metrics:
    """Metrics of a split; see `measured`."""
    return measured(task, module, split, context).metrics


@torch.no_grad()
def measured(task: Task, module: nn.Module, split: DeviceSplit, context: WorkerContext) -> Measured:
    """Measure a split: each image is seen by exactly one worker, and the workers' states are merged by rank.

    Every worker of the run has to call, with the model itself: through DistributedDataParallel it would synchronise
    where workers hold unequal shares.

    Returns:
        As metrics those of the task; "regions" with the same of each region and its number of "images", where the task
        measures regions; "loss", the mean over images with a voxel that counts.
    """
    regions = split.data.regions if task.declaration.measures_regions else np.zeros(len(split.data), np.int64)
    losses: list[float] = []
    seen: dict[int, list[tuple[Indices, npt.NDArray[np.bool_]]]] = {}
    states = {region: task.start() for region in np.unique(regions).tolist()}
    for judged, place in judged_parts(task, module, split, context):
        losses.extend(judged.losses.double().tolist())
        here, is_counted = regions[place], judged.is_counted
        for region in np.unique(here).tolist():
            rows = np.flatnonzero(here == region)
            own = judged if len(rows) == len(here) else judged.rows(rows)
            states[region] = task.update(states[region], own)
            seen.setdefault(region, []).append((rows + place.start, is_counted[rows]))
    gathered = context.gather((losses, seen, states))
    merged = {region: task.merged([own[region] for *_, own in gathered]) for region in states}
    together = task.merged(list(merged.values()))
    metrics = task.compute(together)
    parts = [part for region in states for _, own, _ in gathered for part in own.get(region, [])]
    images, is_counted = (np.concatenate(each) for each in zip(*parts, strict=True))
    if task.declaration.measures_regions:
        names, counts = split.data.region_names, np.bincount(regions)
        metrics["regions"] = {
            names[region]: {**task.compute(state), "images": float(counts[region])} for region, state in merged.items()
        }
    total, count = math.fsum(value for part, *_ in gathered for value in part), int(is_counted.sum())
    metrics["loss"] = total / count if count else math.nan
    return Measured(metrics, together, images, is_counted)


def image_scores(task: Task, split: Split, data: SplitData, found: Measured) -> ImageScores | None:
    """The numbers of each image of a split that was measured, and its place, in the order of the task's plan.

    None for data that a caller has made by hand, which are not those of the plan.
    """
    plan, order = numbered_samples(task.run.task, split), np.argsort(found.images)
    if len(plan) != len(data):
        return None
    places = [plan[image] for image in found.images[order].tolist()]
    rows = {}
    for name, metric, state in zip(task.metric_names, task.metrics, found.states, strict=True):
        own = metric.rows(state)
        if own is not None:
            rows[name] = _of_all(own, found.is_counted)[order]
    return ImageScores(
        np.full(len(places), split),
        np.array([cube for cube, _ in places], np.int64),
        np.array([sample.roi.origin for _, sample in places], np.int64).reshape(-1, 3),
        rows,
    )


def _of_all(rows: Rows, is_counted: npt.NDArray[np.bool_]) -> Rows:
    """Rows of all images, NaN for those without a voxel that counts if a metric has no rows for them."""
    if len(rows) == len(is_counted):
        return rows
    every: Rows = np.full((len(is_counted), *rows.shape[1:]), np.nan)
    every[is_counted] = rows
    return every


def constant_prediction(task: Task, metrics: Metrics) -> tuple[str, float] | None:
    """The class whose prediction everywhere would score best by the task's selection metric, and that score.

    `metrics` are those of a split, with the number of samples of each class as "truth"; None where the task's metric is
    not one of confusions.
    """
    metric, truth, best = task.metrics[0], metrics.get("truth"), None
    if not isinstance(metric, ConfusionMetric) or not isinstance(truth, list):
        return None
    for predicted, name in enumerate(task.run.task.classes):
        confusion = np.zeros((1, len(truth), len(truth)), np.int64)
        confusion[0, :, predicted] = np.array(truth)
        value = metric.of(confusion).get(task.selection)
        if isinstance(value, float) and (best is None or value > best[1]):
            best = name, value
    return best
