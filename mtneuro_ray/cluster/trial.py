"""Training of one run on Ray: in a trial's own process, or on the workers of a TorchTrainer."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ray.train
import ray.train.torch
import ray.tune
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Queue

from mtneuro_ray.cluster.dispatch import ENTRY, EPOCH, VALUE, Job
from mtneuro_ray.cluster.ray_data import SplitRefs, get_splits
from mtneuro_ray.cluster.ray_metrics import TrainingMetrics
from mtneuro_ray.cluster.shared import EncoderRef, get_encoder
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.execute import execute
from mtneuro_ray.errors import in_one_line
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord, checkpoint_folder

Report = Callable[[Mapping[str, Any]], None]


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


def _work(config: dict[str, Any]) -> None:
    """What each worker does."""
    here = ray.train.get_context()
    out: Folder = config["out"]
    run: RunSettings = config["run"]
    queue: Queue | None = config["queue"]
    leads = here.get_world_rank() == 0
    splits, encoder = get_splits(config["splits"]), get_encoder(config["encoder"])
    metrics = TrainingMetrics(run, len(splits["train"]))

    def report(entry: Mapping[str, Any]) -> None:
        if leads:
            metrics.tell(entry)
            if queue is not None:
                queue.put(dict(entry))
        ray.train.report(dict(entry))

    context = WorkerContext(
        rank=here.get_world_rank(),
        world_size=here.get_world_size(),
        device=ray.train.torch.get_device(),
        threads=config["threads"],
        checkpoints=checkpoint_folder(out, run),
        checkpoint_interval_s=config["checkpoint_interval_s"],
        report=report,
    )
    execute(run, splits, context, out, encoder, keeps_weights=config["keeps_weights"])


def train_on_workers(
    run: RunSettings,
    splits: SplitRefs,
    out: Folder,
    resources: ResourceSettings,
    *,
    encoder: EncoderRef | None = None,
    keeps_weights: bool = False,
    report: Report | None = None,
) -> RunRecord:
    """Train one run on `resources.workers_per_trial` workers and return its record.

    A worker that is lost is replaced and the run goes on from its last checkpoint, at most
    `resources.max_failures` times.
    """
    queue = Queue(actor_options={"num_cpus": 0}) if report is not None else None
    if queue is not None and report is not None:
        threading.Thread(target=_relay, args=(queue, report), daemon=True).start()
    per_worker: dict[str, float] = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        per_worker["GPU"] = resources.gpus_per_worker
    trainer = TorchTrainer(
        _work,
        train_loop_config={
            "run": run,
            "out": out,
            "splits": splits,
            "encoder": encoder,
            "keeps_weights": keeps_weights,
            "threads": resources.cpus_per_worker,
            "checkpoint_interval_s": resources.checkpoint_interval_s,
            "queue": queue,
        },
        scaling_config=ScalingConfig(
            num_workers=resources.workers_per_trial,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=per_worker,
        ),
        torch_config=TorchConfig(backend="nccl" if resources.gpus_per_worker else "gloo"),
        run_config=RunConfig(
            name=run.run_id,
            storage_path=(out / "ray").root,
            failure_config=FailureConfig(max_failures=resources.max_failures),
        ),
    )
    before = RunFolder(out).read(run.run_id)
    # Ray Train goes on from the state of an earlier try, and fails for ever where its file is damaged. A run goes on
    # from its own checkpoint instead.
    (out / "ray").delete_tree(run.run_id)
    try:
        trainer.fit()
    except Exception as error:
        return _failure(run, out, error, before)
    finally:
        if queue is not None:
            queue.put(None)
    return RunFolder(out).read(run.run_id) or _failure(run, out, RuntimeError("no worker wrote a result"), before)


def _relay(queue: Queue, report: Report) -> None:
    while (entry := queue.get()) is not None:
        report(entry)


def _failure(run: RunSettings, out: Folder, error: Exception, before: RunRecord | None) -> RunRecord:
    """The record of a run whose workers were lost, written unless a worker has told more than there was `before`."""
    runs = RunFolder(out)
    record = runs.read(run.run_id)
    if record is None or record == before:
        record = RunRecord.failed(run, in_one_line(error))
        runs.write(record)
    return record
