"""Measured seconds of training steps and of evaluation, on random data."""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import parts
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine import checkpoint
from mtneuro_ray.engine.evaluation import evaluate
from mtneuro_ray.engine.fit import Fit
from mtneuro_ray.engine.linear_probe import train_probe
from mtneuro_ray.engine.loop import method_of, set_up, validation_of
from mtneuro_ray.methods.training.base import Setup, SteppedMethod, Steps
from mtneuro_ray.storage.folder import Folder

# Algorithms are chosen, and memory is taken from the system, in the first steps.
_WARM_UP = 2
_STEPS_PER_EPOCH = 4
_RATE = 1e-6
# Epochs of the linear layer: its time is the difference of two fits, both of which read the features.
_FEW, _MANY = 1, 21


def now(device: torch.device) -> float:
    """Clock in seconds, read when the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def endless_steps(steps: Steps, rate: float = _RATE) -> Iterator[None]:
    """One optimizer step after another, as in epochs of a few batches; each is done when it is yielded."""
    random = np.random.default_rng(0)
    for step in itertools.count():
        for group in steps.optimizer.param_groups:
            group["lr"] = rate
        indices = random.permutation(steps.count)[: steps.batch_size]
        steps.step(indices, step // _STEPS_PER_EPOCH, step, _STEPS_PER_EPOCH)
        now(steps.context.device)
        yield


def random_splits(run: RunSettings, count: int = 0) -> dict[Split, SplitArrays]:
    """Noise of the shape of a run's images, and random classes; `count` training images, by default two batches."""
    task, batch = run.task, run.network.training.batch_size
    voxels = run.network.model.in_channels * task.volume_z * math.prod(task.tile_size)
    # Images of one pass of the evaluation.
    _, at_once = next(parts(0, 2**31, voxels))
    counts: dict[Split, int] = {"train": count or max(2 * batch, 2), "val": at_once}
    return {split: _random_split(run, number) for split, number in counts.items()}


def _random_split(run: RunSettings, count: int) -> SplitArrays:
    task, random = run.task, np.random.default_rng(0)
    classes, shape = len(task.classes), (count, task.volume_z, *task.tile_size)
    channels = (count, run.network.model.in_channels, *shape[1:])
    masks = random.integers(0, classes, shape, np.uint8) if task.declaration.labels == "voxel" else None
    return SplitArrays(
        images=random.integers(0, 256, channels, np.uint8),
        masks=masks,
        labels=np.arange(count) % classes,
        regions=np.zeros(count, np.int64),
        region_names=("A",),
    )


def measure(
    run: RunSettings, data: dict[Split, SplitArrays], context: WorkerContext, *, steps: int, seconds: float
) -> dict[str, float]:
    """Median seconds of a run's steps and of its evaluation, on one worker. Uses as much memory as the run does.

    `data` comes from `random_splits`. At least `steps` steps are timed, for at least `seconds`. The result has
    `setup_s`, `image_s`, and of `step_s`, `fit_s`, `head_image_s` those that the method has.
    """
    device = context.device
    started = now(device)
    setup = set_up(run, data, context)
    method = method_of(setup)
    found: dict[str, float] = {}
    if isinstance(method, SteppedMethod):
        found |= _measure_steps(setup, method, started, steps, seconds)
    else:
        found["setup_s"] = now(device) - started
        started = now(device)
        method.fit()
        found["fit_s"] = now(device) - started
    if run.network.is_frozen:
        found["head_image_s"] = _head_image(setup)

    look = partial(evaluate, setup.task, setup.model, setup.splits["val"], context)
    look()
    found["image_s"] = _median(look, device, 1, seconds) / len(data["val"])
    return found


def _measure_steps(setup: Setup, method: SteppedMethod, started: float, steps: int, seconds: float) -> dict[str, float]:
    device = setup.context.device
    fit = Fit(method, validation_of(setup))
    method.module.train()
    every = endless_steps(method)
    next(every)
    first = now(device) - started
    for _ in range(_WARM_UP):
        next(every)
    step = _median(lambda: next(every), device, steps, seconds)
    # The end of an epoch takes memory, too: a copy of the best weights, and a checkpoint on its way to the disk.
    fit.end_epoch({})
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Folder(folder), fit.progress, method.module, method.optimizer)
    return {"setup_s": max(0.0, first - step), "step_s": step}


def _head_image(setup: Setup) -> float:
    """Seconds that an epoch of the linear layer on frozen features takes for each image."""
    device, taken = setup.context.device, []
    for epochs in (_FEW, _MANY):
        started = now(device)
        train_probe(setup, epochs)
        taken.append(now(device) - started)
    return max(0.0, taken[1] - taken[0]) / (len(setup.split) * (_MANY - _FEW))


def _median(function: Callable[[], object], device: torch.device, least: int, seconds: float) -> float:
    """Median seconds of a call, over at least `least` calls and `seconds` seconds."""
    taken: list[float] = []
    while len(taken) < least or sum(taken) < seconds:
        started = now(device)
        function()
        taken.append(now(device) - started)
    return statistics.median(taken)
