"""From a run's settings to its metrics: training, whatever its method, then evaluation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine.batches import ResidentSplit
from mtneuro_ray.engine.checkpoint import History, load_trained, save_trained
from mtneuro_ray.engine.context import WorkerContext
from mtneuro_ray.engine.evaluation import evaluate, placed
from mtneuro_ray.engine.linear_probe import decompose, train_head
from mtneuro_ray.engine.memory import memory_watched
from mtneuro_ray.engine.pretrain import pretrain
from mtneuro_ray.engine.supervised import SupervisedFit
from mtneuro_ray.methods.declared import ByolSettings
from mtneuro_ray.metrics.confusion import Metrics
from mtneuro_ray.models.build import build_model
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.models.pretrained import load_encoder_weights
from mtneuro_ray.storage.checkpoints import is_trained
from mtneuro_ray.tasks.base import Task
from mtneuro_ray.tasks.build import build_task

Encoder = Mapping[str, torch.Tensor]


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


@dataclass(frozen=True, slots=True)
class Worker:
    """What one worker of a run trains with."""

    run: RunSettings
    task: Task
    data: Mapping[Split, SplitArrays]
    splits: Mapping[Split, ResidentSplit]
    context: WorkerContext
    module: nn.Module

    def evaluate(self, split: Split) -> Metrics:
        """Metrics of a split."""
        return evaluate(self.task, self.module, self.splits[split], self.data[split], self.context)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A training that has come to its end, with the validation metrics and timings of what was done here."""

    history: History
    metrics: Metrics | None
    timings: dict[str, float] = field(default_factory=dict)


def train(
    run: RunSettings,
    data: Mapping[Split, SplitArrays],
    context: WorkerContext,
    encoder: Encoder | None = None,
    *,
    keeps_weights: bool = False,
) -> Outcome:
    """Train a run, or what is left of it, and evaluate it. Call on every worker of the run.

    Where the checkpoint folder holds the weights of a finished training with the same `train_id`, only the evaluation
    is left.

    Args:
        run: What to train. A `final` run is evaluated on the test split, a `candidate` never.
        data: The splits, with "train" and, for a final run, "test"; "val" where the task has it.
        context: Where this worker runs.
        encoder: Weights that the model's encoder starts from (`models.pretrained`); random ones where there are none.
        keeps_weights: Whether a `candidate` leaves its weights in the checkpoint folder, as a `final` run does.

    Raises:
        InputError: the weights are not those of the model's encoder, or the data do not allow the method.
        TrainingError: the loss is no longer a number.
        OutOfMemoryError: memory is exhausted.
    """
    started = time.perf_counter()
    batch_size = run.network.training.batch_size
    with memory_watched(f"at batch size {batch_size}", "a smaller batch_size, or a device with more memory"):
        worker = set_up(run, data, context)
        fitted = _trained_before(worker)
        if fitted is None:
            fitted = _fit(worker, encoder)
            keeps_weights = keeps_weights or run.role == "final"
            if keeps_weights and context.is_leader and context.checkpoints is not None:
                save_trained(context.checkpoints, worker.module, fitted.history, fitted.metrics)
        metrics = {} if fitted.metrics is None else {"val": fitted.metrics}
        class_counts: dict[str, dict[str, list[int]]] = {}
        if run.role == "final":
            metrics["test"] = worker.evaluate("test")
            if worker.task.by_region:
                class_counts = {split: _named(part, worker.task.num_classes) for split, part in data.items()}
    timings = {"total_s": time.perf_counter() - started, **fitted.timings}
    return Outcome(metrics, fitted.history, class_counts, timings)


def _named(arrays: SplitArrays, num_classes: int) -> dict[str, list[int]]:
    return dict(zip(arrays.region_names, arrays.class_counts(num_classes).tolist(), strict=True))


def set_up(run: RunSettings, data: Mapping[Split, SplitArrays], context: WorkerContext) -> Worker:
    """Make what a run trains with on this worker: its model from the seed, its splits on the device, its threads."""
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(context.device.type == "cpu")
    torch.manual_seed(run.network.seed)
    weighted = run.network.loss.class_weights != "none"
    counts = data["train"].class_counts(run.network.classes).sum(0).tolist() if weighted else ()
    return Worker(
        run=run,
        task=build_task(run, counts),
        data=data,
        splits={split: ResidentSplit(arrays, context.device) for split, arrays in data.items()},
        context=context,
        module=placed(build_model(run.network), run.network, context.device),
    )


def _trained_before(worker: Worker) -> _Fitted | None:
    """What a finished training of the same weights has left, with these in the model; None where there is none."""
    folder = worker.context.checkpoints
    if folder is None or not is_trained(folder):
        return None
    trained = load_trained(folder, worker.context.device)
    if trained is None:
        return None
    worker.module.load_state_dict(trained.weights)
    return _Fitted(trained.history, trained.metrics)


def _fit(worker: Worker, encoder: Encoder | None) -> _Fitted:
    """Train by the network's method."""
    if worker.run.network.is_frozen:
        return _fit_frozen(worker)
    if encoder is not None:
        load_encoder_weights(worker.module, encoder)
    fit = SupervisedFit(worker.run, worker.task, worker.module, worker.data, worker.splits, worker.context)
    progress = fit.resume()
    fit.run(progress)
    if progress.kept_weights is not None:
        worker.module.load_state_dict(progress.kept_weights)
    return _Fitted(progress.history, fit.measured or fit.validate(), fit.timings)


def _fit_frozen(worker: Worker) -> _Fitted:
    """Make the encoder without labels, then train a linear layer on what it gives."""
    classifier = cast(EncoderClassifier, worker.module)
    split, task, context = worker.splits["train"], worker.task, worker.context
    if isinstance(worker.run.network.method, ByolSettings):
        pretrained = pretrain(worker.run, split, task, context, classifier)
        history, timings = pretrained.history, pretrained.timings
    else:
        history, timings = [], decompose(worker.run, split, task, context, classifier)
    head_history = train_head(worker.run, split, task, context, classifier)
    return _Fitted(history or head_history, worker.evaluate("val") if "val" in worker.splits else None, timings)
