"""Predictions and metrics of a model on a split, shared by the workers of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.cubes import Cubes
from mtneuro_ray.data.resident import DeviceSplit
from mtneuro_ray.engine.cubes import judged_cells
from mtneuro_ray.metrics.base import ConfusionMetric, Metrics
from mtneuro_ray.models.build import autocast
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


@torch.no_grad()
def evaluate(task: Task, module: nn.Module, split: DeviceSplit, context: WorkerContext) -> Metrics:
    """Metrics of a split: each image is seen by exactly one worker, and the workers' states are merged by rank.

    Every worker of the run has to call, with the model itself: through DistributedDataParallel it would synchronise
    where workers hold unequal shares.

    Returns:
        Metrics of the task; "regions" with the same of each region and its number of "images", where the task measures
        regions; "loss", the mean over images with a voxel that counts.
    """
    regions = split.data.regions if task.declaration.measures_regions else np.zeros(len(split.data), np.int64)
    losses: list[float] = []
    counted = 0
    states = {region: task.start() for region in np.unique(regions).tolist()}
    for judged, place in judged_parts(task, module, split, context):
        losses.extend(judged.losses.double().tolist())
        counted += judged.num_counted
        here = regions[place]
        for region in np.unique(here).tolist():
            rows = np.flatnonzero(here == region)
            own = judged if len(rows) == len(here) else judged.rows(rows)
            states[region] = task.update(states[region], own)
    gathered = context.gather((losses, counted, states))
    merged = {region: task.merged([own[region] for *_, own in gathered]) for region in states}
    metrics = task.compute(task.merged(list(merged.values())))
    if task.declaration.measures_regions:
        names, counts = split.data.region_names, np.bincount(regions)
        metrics["regions"] = {
            names[region]: {**task.compute(state), "images": float(counts[region])} for region, state in merged.items()
        }
    total, images = math.fsum(value for part, *_ in gathered for value in part), sum(own for _, own, _ in gathered)
    metrics["loss"] = total / images if images else math.nan
    return metrics


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
