"""From a run's settings to its metrics: training by its method, then evaluation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from mtneuro_ray.config.modes import mode_of
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine.checkpoint import History, load_trained, save_trained
from mtneuro_ray.engine.evaluation import constant_prediction, evaluate
from mtneuro_ray.engine.fit import Fit, Validation
from mtneuro_ray.engine.linear_probe import train_probe
from mtneuro_ray.engine.oom import oom_guard
from mtneuro_ray.methods.training.base import Method, Setup, SteppedMethod
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.models.build import build_model, placed
from mtneuro_ray.models.pretrained import load_encoder_weights
from mtneuro_ray.storage.checkpoints import is_trained
from mtneuro_ray.tasks.training.base import Task, build_task

Encoder = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a run.

    Attributes:
        metrics: Metrics of the evaluated splits.
        history: One entry per epoch: "epoch", "train/loss", "val/..." numbers.
        class_counts: Split -> region -> voxels of each class, where regions are measured and test is among the splits.
        timings: Seconds and rates of this process, so not repeatable.
        notes: Warnings about the metrics, one sentence each.
    """

    metrics: dict[str, Metrics]
    history: History
    class_counts: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker of a run, ready to train.

    Attributes:
        run: Settings.
        task: Inputs, losses and metrics.
        splits: The splits, on the device.
        context: Where it runs.
        module: The model, on the device.
    """

    run: RunSettings
    task: Task
    splits: Mapping[Split, ResidentSplit]
    context: WorkerContext
    module: nn.Module

    @property
    def setup(self) -> Setup:
        """Arguments of its method."""
        return Setup(self.run, self.task, self.module, self.splits["train"], self.context)

    def method(self) -> Method:
        """The method of the run's settings, which may already change the model."""
        built: Method = self.run.network.method_declaration.resolve()(self.setup)
        return built

    def evaluate(self, split: Split, module: nn.Module | None = None) -> Metrics:
        """Metrics of a split, by the model or another module."""
        return evaluate(self.task, module or self.module, self.splits[split], self.context)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A training that has come to its end, with its validation metrics and the timings of this process."""

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
        run: Settings. A `final` run is evaluated on the test split, a `candidate` never.
        data: The splits, with "train" and, for a final run, "test"; "val" where the task has it.
        context: This worker.
        encoder: Initial weights of the model's encoder (`models.pretrained`); None for random ones.
        keeps_weights: Whether a `candidate` leaves its weights in the checkpoint folder, as a `final` run does.

    Raises:
        InputError: the weights are not those of the model's encoder, or the data do not allow the method.
        TrainingError: the loss is no longer a number, or has grown beyond all measure.
        OutOfMemoryError: memory is exhausted.
    """
    started = time.perf_counter()
    batch_size = run.network.training.batch_size
    with oom_guard(f"at batch size {batch_size}", "a smaller batch_size, or a device with more memory"):
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
            if worker.task.declaration.measures_regions:
                class_counts = {split: _named(part, worker.task.num_classes) for split, part in data.items()}
    timings = {"total_s": time.perf_counter() - started, **fitted.timings}
    return Outcome(metrics, fitted.history, class_counts, timings, _notes(worker.task, metrics))


def _named(arrays: SplitArrays, num_classes: int) -> dict[str, list[int]]:
    return dict(zip(arrays.region_names, arrays.class_counts(num_classes).tolist(), strict=True))


def _notes(task: Task, metrics: Mapping[str, Metrics]) -> list[str]:
    """Splits on which the model is no better than one that predicts a single class, and classes that do not occur."""
    notes = []
    for split, found in metrics.items():
        value, constant = found.get(task.selection), constant_prediction(task, found)
        if constant is not None and isinstance(value, float) and not value > constant[1]:
            notes.append(
                f"{split}: no better than predicting {constant[0]} everywhere ({task.selection} {value:.4f}, that "
                f"{constant[1]:.4f})"
            )
        truth = found.get("truth")
        if isinstance(truth, list):
            absent = [name for name, count in zip(task.run.task.classes, truth, strict=True) if not count]
            if absent:
                notes.append(f"{split}: has no {', '.join(absent)}")
    return notes


def set_up(run: RunSettings, data: Mapping[Split, SplitArrays], context: WorkerContext) -> Worker:
    """Set threads and seed, build the model and copy the splits to the device."""
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(context.device.type == "cpu")
    torch.manual_seed(run.network.seed)
    weighted = run.network.loss.class_weights != "none"
    counts = data["train"].class_counts(run.network.classes).sum(0).tolist() if weighted else ()
    return Worker(
        run=run,
        task=build_task(run, counts),
        splits={split: ResidentSplit(arrays, context.device) for split, arrays in data.items()},
        context=context,
        module=placed(build_model(run.network), run.network, context.device),
    )


def _trained_before(worker: Worker) -> _Fitted | None:
    """Result of a finished training of this run, whose weights are loaded into the model; None where there is none."""
    folder = worker.context.checkpoints
    if folder is None or not is_trained(folder):
        return None
    trained = load_trained(folder, worker.module, worker.context.device)
    return None if trained is None else _Fitted(trained.history, trained.metrics)


def _fit(worker: Worker, encoder: Encoder | None) -> _Fitted:
    """Train by the network's method, and a linear probe where it yields an encoder only."""
    if encoder is not None:
        load_encoder_weights(worker.module, encoder)
    method = worker.method()
    if isinstance(method, SteppedMethod):
        history, metrics, timings = _take_steps(worker, method)
    else:
        started = time.perf_counter()
        method.fit()
        seconds = time.perf_counter() - started
        history, metrics = [], None
        timings = {"train_s": seconds, "train_images_per_s": len(worker.splits["train"]) / max(seconds, 1e-9)}
    if worker.run.network.is_frozen:
        probe_history = train_probe(worker.setup)
        history = history or probe_history
        metrics = worker.evaluate("val") if "val" in worker.splits else None
    return _Fitted(history, metrics, timings)


def _take_steps(worker: Worker, method: SteppedMethod) -> tuple[History, Metrics | None, dict[str, float]]:
    """Train by gradient steps, and leave the weights that are kept in the model."""
    fit = Fit(method, validation_of(worker))
    progress = fit.resume()
    fit.run(progress)
    if progress.kept_weights is not None:
        worker.module.load_state_dict(progress.kept_weights)
    return progress.history, fit.measured or fit.validate(), fit.timings


def validation_of(worker: Worker) -> Validation:
    """Rule by which the epochs of a run are judged."""
    measure = (lambda module: worker.evaluate("val", module)) if "val" in worker.splits else None
    settings = worker.run.network.evaluation
    mode = mode_of(worker.task.selection, worker.task.declaration, settings.metrics)
    return Validation(settings, worker.task.selection, mode, measure)
