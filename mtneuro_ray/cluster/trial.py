"""One trial of a sweep, in a process of Tune's."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import ray.tune
import torch

from mtneuro_ray.cluster.encoders import get_encoder
from mtneuro_ray.cluster.job import ENTRY, EPOCH, VALUE, Job
from mtneuro_ray.cluster.ray_data import get_splits
from mtneuro_ray.cluster.ray_metrics import TrainingMetrics
from mtneuro_ray.cluster.ray_train import train_on_workers
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.execute import execute
from mtneuro_ray.storage.checkpoints import checkpoint_folder
from mtneuro_ray.storage.records import RunFolder, RunRecord


def run_trial(job: Job) -> None:
    """Train a run of a sweep. Its result is in the run's file before Tune hears of it."""
    # How long this process waits, before the next trial, for one that was stopped to return from its last report. Two
    # seconds by default, and then the next trial, not this one, would be lost.
    os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = "60"
    planned = job.planned
    record = RunFolder(job.out).read(planned.run_id)
    if planned.again or record is None or record.status != "done":
        if job.resources.workers_per_trial > 1:
            record = train_on_workers(
                planned.run,
                job.splits,
                job.out,
                job.resources,
                encoder=job.encoder,
                keeps_weights=planned.keeps_weights,
            )
        else:
            record = _train_here(job)
    value = record.metric(planned.metric)
    ray.tune.report({VALUE: math.nan if value is None else value})


def _train_here(job: Job) -> RunRecord:
    run, resources = job.planned.run, job.resources
    splits = get_splits(job.splits)
    metrics = TrainingMetrics(run, len(splits["train"]))
    context = WorkerContext(
        device=torch.device("cuda" if resources.gpus_per_worker else "cpu"),
        threads=resources.cpus_per_worker,
        checkpoints=checkpoint_folder(job.out, run),
        checkpoint_interval_s=resources.checkpoint_interval_s,
        report=partial(_report_epoch, job, metrics),
    )
    if resources.gpus_per_worker:
        _keep_to_share(job.ask.gpus)
    try:
        return execute(
            run,
            splits,
            context,
            job.out,
            get_encoder(job.encoder),
            keeps_weights=job.planned.keeps_weights,
            placement=job.placement,
        )
    finally:
        metrics.end()


def _keep_to_share(gpus: float) -> None:
    """Bound this process to its share of the GPU: a trial that exceeds it fails itself, and none of its neighbours."""
    # What the trial before has left in the allocator of a process that is used again.
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, gpus))


def _report_epoch(job: Job, metrics: TrainingMetrics, entry: Mapping[str, Any]) -> None:
    """Let a run be stopped after an epoch, from which this does not return, then; never after its last."""
    metrics.tell(entry)
    planned = job.planned
    if job.can_stop and entry["epoch"] < planned.run.network.optimizer.epochs:
        ray.tune.report({VALUE: entry[planned.metric], EPOCH: entry["epoch"], ENTRY: dict(entry)})
