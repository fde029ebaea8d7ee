"""How a model is asked: where it lies, in what arithmetic, how many images at a time, and what it scores."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine.batches import ResidentSplit
from mtneuro_ray.engine.context import WorkerContext
from mtneuro_ray.metrics.confusion import Counts, Metrics
from mtneuro_ray.tasks.base import Task

# Images, and voxels, of one forward pass in evaluation. Larger is no faster; they bound memory.
_IMAGES = 32
_VOXELS = 32 * 256 * 256


def parts(start: int, stop: int, voxels: int) -> Iterator[tuple[int, int]]:
    """The half-open parts of images `start` to `stop`, of `voxels` each, that pass through a model at once."""
    at_once = max(1, min(_IMAGES, _VOXELS // voxels))
    for first in range(start, stop, at_once):
        yield first, min(first + at_once, stop)


def autocast(network: NetworkSettings, device: torch.device) -> torch.autocast:
    """The arithmetic of a forward pass: bf16 where the network says so, or says "auto" and there is a GPU."""
    reduced = network.compute.precision == "bf16" or (network.compute.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=reduced)


def placed(module: nn.Module, network: NetworkSettings, device: torch.device) -> nn.Module:
    """The model on its device, in the memory format that its convolutions are fastest in."""
    module = module.to(device)
    return module.to(memory_format=torch.channels_last) if network.model.dim == 2 else module


@torch.no_grad()
def evaluate(
    task: Task, module: nn.Module, split: ResidentSplit, arrays: SplitArrays, context: WorkerContext
) -> Metrics:
    """Metrics of a split: each image is seen by exactly one worker, and counts are joined in the plan's order.

    Args:
        task: What is measured.
        module: The model itself: through DistributedDataParallel it would synchronise where workers hold unequal
            shares.
        split: The images, on the device.
        arrays: The same split.
        context: Of this worker; each of the run has to call.
    """
    module.eval()
    start, stop = context.share_of(len(split))
    losses, confusions = [], []
    for first, last in parts(start, stop, arrays.images[:1].size):
        with autocast(task.network, context.device):
            loss, confusion = task.evaluate(module, split.part(first, last))
        losses.extend(loss.double().tolist())
        confusions.append(confusion)
    shape = (0, task.num_classes, task.num_classes)
    own = np.concatenate([np.zeros(shape, np.int64), *confusions])
    gathered = context.gather((losses, own))
    confusions_of_all = np.concatenate([counts for _, counts in gathered])
    metrics = task.metrics(confusions_of_all)
    if task.by_region:
        metrics["regions"] = _by_region(task, arrays, confusions_of_all)
    metrics["loss"] = math.fsum(value for part, _ in gathered for value in part) / len(split)
    return metrics


def _by_region(task: Task, arrays: SplitArrays, confusions: Counts) -> dict[str, Metrics]:
    """The metrics of each region's images, with their number as "images"."""
    found: dict[str, Metrics] = {}
    for region, name in enumerate(arrays.region_names):
        own = confusions[arrays.regions == region]
        if len(own):
            found[name] = {**task.metrics(own), "images": float(len(own))}
    return found
