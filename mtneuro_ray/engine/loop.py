"""The loop that every model is trained by, in one process, in a trial or under several workers.

All randomness is drawn from (seed, epoch, image or step), never from a stream that runs on, so a resumed run and a
run with another number of workers take the same steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from mtneuro_ray.augment import draw_ops
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine import checkpoint
from mtneuro_ray.engine.batches import ResidentSplit, epoch_order, global_batches
from mtneuro_ray.engine.checkpoint import History, Progress
from mtneuro_ray.engine.context import WorkerContext
from mtneuro_ray.engine.evaluation import autocast, parts
from mtneuro_ray.engine.optimiser import build_optimiser, learning_rate
from mtneuro_ray.errors import TrainingError
from mtneuro_ray.metrics import Counts, Metrics
from mtneuro_ray.models import build_model
from mtneuro_ray.models.dropout import DropoutKey, set_dropout_key
from mtneuro_ray.models.pretrained import load_encoder_weights
from mtneuro_ray.tasks import Task, build_task


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has found.

    Attributes:
        metrics: Metrics of the evaluated splits.
        history: One entry per epoch: "epoch", "train/loss", "val/..." numbers.
        class_counts: Split -> region -> voxels of each class, where regions are measured and test is among the splits.
        timings: Seconds and rates; of this process, so not repeatable.
    """

    metrics: dict[str, Metrics]
    history: History
    class_counts: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Worker:
    """The parts of one worker's run that the functions below share."""

    run: RunSettings
    task: Task
    data: Mapping[Split, SplitArrays]
    splits: dict[Split, ResidentSplit]
    context: WorkerContext
    module: nn.Module
    model: nn.Module
    optimiser: torch.optim.Optimizer
    train_images: int = 0
    train_seconds: float = 0.0


def train(
    run: RunSettings,
    data: Mapping[Split, SplitArrays],
    context: WorkerContext,
    encoder: Mapping[str, torch.Tensor] | None = None,
) -> Outcome:
    """Train a run, or the rest of it, and evaluate it. Call on every worker of the run.

    Args:
        run: What to train. A `final` run is evaluated on the test split, a `cell` never.
        data: The splits, with "train", "val" and, for a final run, "test".
        context: Where this worker runs.
        encoder: Weights that the model's encoder starts from (`models.pretrained`); random ones where there are none.

    Raises:
        InputError: the weights are not those of the model's encoder.
        TrainingError: the loss is no longer a number, or memory is exhausted.
    """
    started = time.perf_counter()
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(context.device.type == "cpu")
    try:
        worker = _set_up(run, data, context, encoder)
        progress = checkpoint.resume(context.checkpoints, worker.module, worker.optimiser, context.device)
        last = _fit(worker, progress)
        if progress.best_weights is not None:
            worker.module.load_state_dict(progress.best_weights)
            last = None
        metrics = {"val": last or _evaluate(worker, "val")}
        class_counts: dict[str, dict[str, list[int]]] = {}
        if run.role == "final":
            metrics["test"] = _evaluate(worker, "test")
            if worker.task.by_region:
                class_counts = {split: _named(part, worker.task.num_classes) for split, part in data.items()}
            if context.is_leader and context.checkpoints is not None:
                checkpoint.save_weights(context.checkpoints, worker.module)
    except torch.OutOfMemoryError as error:
        raise TrainingError(f"out of memory at batch size {run.network.batch_size}: {error}") from None
    timings = {"total_s": time.perf_counter() - started, "train_s": worker.train_seconds}
    if worker.train_seconds:
        timings["train_images_per_s"] = worker.train_images / worker.train_seconds
    return Outcome(metrics, progress.history, class_counts, timings)


def _named(arrays: SplitArrays, num_classes: int) -> dict[str, list[int]]:
    return dict(zip(arrays.region_names, arrays.class_counts(num_classes).tolist(), strict=True))


def _set_up(
    run: RunSettings,
    data: Mapping[Split, SplitArrays],
    context: WorkerContext,
    encoder: Mapping[str, torch.Tensor] | None,
) -> _Worker:
    torch.manual_seed(run.network.seed)
    weighted = run.network.class_weights != "none"
    counts = data["train"].class_counts(run.network.classes).sum(0).tolist() if weighted else ()
    task = build_task(run, counts)
    module = build_model(run.network)
    if encoder is not None:
        load_encoder_weights(module, encoder)
    module = module.to(context.device)
    if run.network.dim == 2:
        module = module.to(memory_format=torch.channels_last)
    model = context.distribute(module)
    if run.network.compile:
        model = torch.compile(model)  # type: ignore[assignment]
    return _Worker(
        run=run,
        task=task,
        data=data,
        splits={split: ResidentSplit(arrays, context.device) for split, arrays in data.items()},
        context=context,
        module=module,
        model=model,
        optimiser=build_optimiser(run.network, module.parameters(), context.device),
    )


def _fit(worker: _Worker, progress: Progress) -> Metrics | None:
    """Train the epochs that are left, with a checkpoint now and then and a report after each.

    Returns:
        Validation metrics of the last epoch; None where no epoch was left.
    """
    metrics: Metrics | None = None
    context, network = worker.context, worker.run.network
    saved = time.monotonic()
    while progress.epoch < network.epochs:
        loss = _train_epoch(worker, progress.epoch)
        if not math.isfinite(loss):
            raise TrainingError(
                f"diverged: the loss is {loss} in epoch {progress.epoch + 1} at learning rate {network.learning_rate}"
            )
        metrics = _evaluate(worker, "val")
        progress.epoch += 1
        progress.history.append(_entry(progress.epoch, loss, metrics))
        if network.keep == "best":
            _keep_best(worker, progress, metrics)
        due = time.monotonic() - saved >= context.checkpoint_interval_s
        if context.is_leader and context.checkpoints is not None and due:
            checkpoint.save(context.checkpoints, progress, worker.module, worker.optimiser)
            saved = time.monotonic()
        context.report(progress.history[-1])
    return metrics


def _entry(epoch: int, loss: float, metrics: Metrics) -> dict[str, Any]:
    scalars = {f"val/{name}": value for name, value in metrics.items() if isinstance(value, float)}
    return {"epoch": epoch, "train/loss": loss, **scalars}


def _keep_best(worker: _Worker, progress: Progress, metrics: Metrics) -> None:
    value = metrics[worker.task.default_metric]
    assert isinstance(value, float)
    if progress.best_value is None or value > progress.best_value:
        progress.best_value = value
        progress.best_weights = {name: tensor.detach().clone() for name, tensor in worker.module.state_dict().items()}


def _train_epoch(worker: _Worker, epoch: int) -> float:
    """One pass over the training split; the mean loss of its images."""
    started = time.perf_counter()
    run, context, split = worker.run, worker.context, worker.splits["train"]
    batches = global_batches(epoch_order(len(split), run.network.seed, epoch), run.network.batch_size)
    total = torch.zeros((), dtype=torch.float64, device=context.device)
    worker.model.train()
    for number, indices in enumerate(batches):
        step = epoch * len(batches) + number
        for group in worker.optimiser.param_groups:
            group["lr"] = learning_rate(run.network, step, len(batches))
        total += _train_step(worker, indices, epoch, step)
    losses = context.gather(float(total))
    worker.train_images += len(split)
    worker.train_seconds += time.perf_counter() - started
    return math.fsum(losses) / len(split)


def _train_step(worker: _Worker, indices: np.ndarray[Any, np.dtype[np.int64]], epoch: int, step: int) -> torch.Tensor:
    """One optimizer step on a global batch; the summed loss of this worker's part of it."""
    network, context = worker.run.network, worker.context
    start, stop = context.share_of(len(indices))
    batch = worker.splits["train"].gather(indices[start:stop])
    if network.augmentations:
        ops = draw_ops(network.seed, epoch, indices[start:stop])
        batch = worker.task.augment(batch, ops.to(context.device))
    key = DropoutKey(network.seed, step, start, len(indices))
    set_dropout_key(worker.module, key)
    # The stochastic depth of library encoders draws from torch's own generator. So its masks, alone, depend on how many
    # workers divide a batch; a run that is resumed draws the same ones.
    torch.manual_seed(key.generator(-1 - context.rank).initial_seed())
    worker.optimiser.zero_grad(set_to_none=True)
    with autocast(network, context.device):
        losses = worker.task.losses(worker.model, batch)
    total = losses.sum(dtype=torch.float32)
    # DistributedDataParallel averages over workers; the mean wanted is over the images of the global batch.
    (total * (context.world_size / len(indices))).backward()  # type: ignore[no-untyped-call]
    worker.optimiser.step()
    return total.detach()


@torch.no_grad()
def _evaluate(worker: _Worker, name: Split) -> Metrics:
    """Metrics of a split: each image is seen by exactly one worker, and counts are joined in the plan's order."""
    split = worker.splits[name]
    # Not through DistributedDataParallel: it would synchronise where workers hold unequal shares.
    model = worker.model if worker.context.world_size == 1 else worker.module
    model.eval()
    start, stop = worker.context.share_of(len(split))
    losses, confusions = [], []
    for first, last in parts(start, stop, worker.data[name].images[:1].size):
        with autocast(worker.run.network, worker.context.device):
            loss, confusion = worker.task.evaluate(model, split.part(first, last))
        losses.extend(loss.double().tolist())
        confusions.append(confusion)
    shape = (0, worker.task.num_classes, worker.task.num_classes)
    own = np.concatenate([np.zeros(shape, np.int64), *confusions])
    gathered = worker.context.gather((losses, own))
    confusions_of_all = np.concatenate([counts for _, counts in gathered])
    metrics = worker.task.metrics(confusions_of_all)
    if worker.task.by_region:
        metrics["regions"] = _by_region(worker.task, worker.data[name], confusions_of_all)
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
