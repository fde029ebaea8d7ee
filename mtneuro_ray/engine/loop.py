"""From a run's settings to its metrics: training by its method, then evaluation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import mode_of
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.cubes import CubeArrays
from mtneuro_ray.data.normalization import Scaling, check_finite
from mtneuro_ray.data.samples import SplitArrays, SplitData
from mtneuro_ray.data.streamed import on_device, statistics_images
from mtneuro_ray.engine.checkpoint import History, Trained, load_trained, save_trained
from mtneuro_ray.engine.device import make_repeatable, oom_guard
from mtneuro_ray.engine.evaluation import constant_prediction, evaluate, image_scores, measured
from mtneuro_ray.engine.fit import Fit, Validation
from mtneuro_ray.engine.linear_probe import train_probe
from mtneuro_ray.methods.training.base import Method, Setup, SteppedMethod
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.models.build import build_model, placed
from mtneuro_ray.models.pretrained import load_encoder_weights
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.image_scores import ImageScores
from mtneuro_ray.tasks.training.base import Task, build_task

logger = logging.getLogger(__name__)

Encoder = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a run; the fields are those of `storage.records.RunRecord`, but for `write`.

    `write` writes what belongs to the run beside its file, into an output folder.
    """

    metrics: dict[str, Metrics]
    history: History
    class_counts: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    normalization: dict[str, Any] = field(default_factory=dict)
    write: Callable[[Folder], None] = lambda out: None


def train(
    run: RunSettings,
    data: Mapping[Split, SplitData],
    context: WorkerContext,
    encoder: Encoder | None = None,
    *,
    keeps_weights: bool = False,
) -> Outcome:
    """Train a run, or what is left of it, and evaluate it. Call on every worker of the run.

    Where the checkpoint folder holds the weights of a finished training with the same `train_id`, only the evaluation
    is left. A `final` run is evaluated on the test split and leaves its weights there; a `candidate` is never evaluated
    on it and leaves its weights only with `keeps_weights`. The model's encoder starts from the weights in `encoder`.

    Raises:
        InputError: the weights are not those of the model's encoder, or the data do not allow the method.
        TrainingError: the loss is no longer a number, or has grown beyond all measure.
        OutOfMemoryError: memory is exhausted.
    """
    started, is_final = time.perf_counter(), run.role == "final"
    batch_size = run.network.training.batch_size
    with oom_guard(f"at batch size {batch_size}", "a smaller batch_size, or a device with more memory"):
        setup = set_up(run, data, context)
        task, model = setup.task, setup.model
        trained = load_trained(context.checkpoints, model, context.device)
        if trained is None:
            trained = replace(_fit(setup, encoder), scaling=task.scaling)
            if (keeps_weights or is_final) and context.is_leader and context.checkpoints is not None:
                save_trained(context.checkpoints, model, trained)
        task.scaling = trained.scaling
        metrics = {} if trained.metrics is None else {"val": trained.metrics}
        class_counts: dict[str, dict[str, list[int]]] = {}
        absent: dict[str, list[str]] = {}
        images: ImageScores | None = None
        if is_final:
            found = measured(task, model, setup.splits["test"], context)
            metrics["test"], images = found.metrics, image_scores(task, "test", data["test"], found)
            if task.declaration.measures_regions:
                for split, part in data.items():
                    counts = part.class_counts(task.num_classes).tolist()
                    class_counts[split] = dict(zip(part.region_names, counts, strict=True))
            absent = {split: part.absent(run.task.classes) for split, part in data.items() if split not in metrics}
    timings = {"total_s": time.perf_counter() - started, **trained.timings}
    notes = [*run.network.method_declaration.resolve().cautions(setup, trained.history), *_notes(task, metrics, absent)]
    outcome = Outcome(metrics, trained.history, class_counts, timings, notes, task.scaling.record())
    return outcome if images is None else replace(outcome, write=partial(images.write, run_id=run.run_id))


def _notes(task: Task, metrics: Mapping[str, Metrics], absent: Mapping[str, Sequence[str]]) -> list[str]:
    """Splits on which the model is no better than one that predicts a single class, and classes that do not occur.

    `absent` are the classes that do not occur in splits without metrics.
    """
    notes = [f"{split}: has no {', '.join(names)}" for split, names in absent.items() if names]
    for split, found in metrics.items():
        value, constant = found.get(task.selection), constant_prediction(task, found)
        if constant is not None and isinstance(value, float) and not value > constant[1]:
            notes.append(
                f"{split}: no better than predicting {constant[0]} everywhere ({task.selection} {value:.4f}, that "
                f"{constant[1]:.4f})"
            )
        truth = found.get("truth")
        if isinstance(truth, list):
            names = [name for name, count in zip(task.run.task.classes, truth, strict=True) if not count]
            if names:
                notes.append(f"{split}: has no {', '.join(names)}")
    return notes


def set_up(run: RunSettings, data: Mapping[Split, SplitData], context: WorkerContext) -> Setup:
    """Set threads and seed, build the model and take the splits to the device."""
    make_repeatable(context)
    torch.manual_seed(run.network.seed)
    weighted = run.network.loss.class_weights != "none"
    counts = data["train"].class_counts(run.network.classes).sum(0).tolist() if weighted else ()
    for split, arrays in data.items():
        # Images that stream are checked as they come.
        where = f"{run.task.name}: {split} split"
        if isinstance(arrays, SplitArrays):
            check_finite(arrays.images, run.network.data, where)
        elif isinstance(arrays, CubeArrays):
            for values in arrays.values:
                check_finite(values[None], run.network.data, where)
    scaling = Scaling.of(run.network.data, statistics_images(data["train"]), run.task.name)
    return Setup(
        task=build_task(run, counts, scaling),
        splits={split: on_device(arrays, context.device, run.network.seed) for split, arrays in data.items()},
        model=placed(build_model(run.network), run.network, context.device),
        context=context,
    )


def method_of(setup: Setup) -> Method:
    """The method of a run's settings, which may already change the model."""
    built: Method = setup.run.network.method_declaration.resolve()(setup)
    return built


def _fit(setup: Setup, encoder: Encoder | None) -> Trained:
    """Train by the network's method, and a linear probe where it yields an encoder only.

    The model is left with the weights that are kept.
    """
    if encoder is not None:
        load_encoder_weights(setup.model, encoder)
    method = method_of(setup)
    for caution in method.cautions(setup, ()) if setup.context.is_leader else ():
        logger.warning("%s", caution)
    if isinstance(method, SteppedMethod):
        fit = Fit(method, validation_of(setup))
        progress = fit.run()
        if progress.kept_weights is not None:
            setup.model.load_state_dict(progress.kept_weights)
        history, metrics, timings = progress.history, fit.measured or fit.validate(), fit.timings
    else:
        started = time.perf_counter()
        method.fit()
        seconds = time.perf_counter() - started
        history, metrics = [], None
        timings = {"train_s": seconds, "train_images_per_s": len(setup.split) / max(seconds, 1e-9)}
    if setup.run.network.is_frozen:
        probe_history = train_probe(setup)
        history = history or probe_history
        val = setup.splits.get("val")
        metrics = None if val is None else evaluate(setup.task, setup.model, val, setup.context)
    return Trained(history, metrics, timings=timings)


def validation_of(setup: Setup) -> Validation:
    """Rule by which the epochs of a run are judged."""
    task, val, settings = setup.task, setup.splits.get("val"), setup.run.network.evaluation
    measure = None if val is None else lambda module: evaluate(task, module, val, setup.context)
    mode = mode_of(task.selection, task.declaration, settings.metrics)
    return Validation(settings, task.selection, mode, measure)
