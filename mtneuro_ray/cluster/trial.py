"""One trial of a stage, in a process of Tune's."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import ray.tune
import torch

from mtneuro_ray.cluster.encoders import encoder_key, get_encoder
from mtneuro_ray.cluster.halving import EPOCH, VALUE
from mtneuro_ray.cluster.ray_data import get_splits
from mtneuro_ray.cluster.ray_metrics import TrainingMetrics
from mtneuro_ray.cluster.ray_train import train_on_workers
from mtneuro_ray.cluster.stage import ENTRY, Stage, key_of
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.execute import execute
from mtneuro_ray.storage.checkpoints import checkpoint_folder
from mtneuro_ray.storage.records import RunFolder
from mtneuro_ray.sweep.search import Plan


def run_trial(plan: Plan, stage: Stage) -> None:
    """Train a run of a stage. Its result is in the run's file before Tune hears of it."""
    # How long this process waits, before the next trial, for one that was stopped to return from its last report. Two
    # seconds by default, and then the next trial, not this one, would be lost.
    os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = "60"
    run, resources = plan.run, stage.resources
    record = RunFolder(stage.out).read(run.run_id)
    if plan.again or record is None or record.status != "done":
        encoder = stage.shared.encoders.get(encoder_key(run.network))
        if resources.workers_per_trial > 1:
            record = train_on_workers(
                run, stage.splits_of(run), stage.out, resources, encoder=encoder, keeps_weights=plan.keeps_weights
            )
        else:
            splits = get_splits(stage.splits_of(run))
            weights = get_encoder(encoder)
            metrics = TrainingMetrics(run, len(splits["train"]))
            context = WorkerContext(
                device=torch.device("cuda" if resources.gpus_per_worker else "cpu"),
                threads=resources.cpus_per_worker,
                checkpoints=checkpoint_folder(stage.out, run),
                checkpoint_interval_s=resources.checkpoint_interval_s,
                report=partial(_report_epoch, stage, plan, metrics),
            )
            if resources.gpus_per_worker:
                _keep_to_share(stage.asks[key_of(plan.point)].gpus)
            try:
                record = execute(
                    run,
                    splits,
                    context,
                    stage.out,
                    weights,
                    keeps_weights=plan.keeps_weights,
                    placement=stage.placement_of(plan),
                )
            finally:
                metrics.end()
    value = record.metric(plan.metric)
    ray.tune.report({VALUE: math.nan if value is None else value})


def _keep_to_share(gpus: float) -> None:
    """Bound this process to its share of the GPU: a trial that exceeds it fails itself, and none of its neighbours."""
    # What the trial before has left in the allocator of a process that is used again.
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, gpus))


def _report_epoch(stage: Stage, plan: Plan, metrics: TrainingMetrics, entry: Mapping[str, Any]) -> None:
    """Let a run be stopped after an epoch, from which this does not return, then; never after its last."""
    metrics.tell(entry)
    if stage.can_stop and entry["epoch"] < plan.run.network.optimizer.epochs:
        ray.tune.report({VALUE: entry[plan.metric], EPOCH: entry["epoch"], ENTRY: dict(entry)})
