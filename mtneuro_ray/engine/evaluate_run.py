"""A finished run's weights on other data: another split, another task, a copy of the task on another volume."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path

import torch

from mtneuro_ray.config.pairs import check_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.execute import device_name, versions
from mtneuro_ray.engine.local import check_gpu
from mtneuro_ray.engine.predict import load_model, score
from mtneuro_ray.engine.write_predictions import stored_split
from mtneuro_ray.errors import InputError
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.storage.checkpoints import checkpoint_folder
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord

_FOLDER = "evaluations"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Metrics of a finished run's weights on a split.

    Attributes:
        metrics: Metrics as in a run file, without the loss.
        file: File that holds them, relative to the output folder.
    """

    metrics: Metrics
    file: str


def target_of(
    record: RunRecord, task: TaskSettings | None, task_file: Path, eval_crops: str | None = None
) -> RunSettings:
    """Settings for evaluating a finished run: another task with the run's network, or the run's own.

    Args:
        record: Record of the run.
        task: Task other than the run's own; None for its own.
        task_file: File of that task.
        eval_crops: Value of `evaluation.eval_crops` other than the run's.

    Raises:
        InputError: the run's network does not fit the task.
        SourceError: a volume of the task can't be opened.
    """
    where = f"run {record.run_id}"
    run = record.load_settings()
    if eval_crops is not None:
        if run.task.declaration.labels != "image":
            raise InputError(
                f"--eval-crops: is for classifiers, the {where} is of a {run.task.task}; accepted: without"
            )
        run = run.model_copy(update={"network": run.network.replace("--eval-crops", eval_crops=eval_crops)})
    if task is None:
        return run
    if task.task != run.task.task:
        raise InputError(f"{task_file}: task: is {task.task}, the {where} is of a {run.task.task}; accepted: the same")
    check_pair(task, run.network, str(task_file))
    if task.classes != run.task.classes:
        raise InputError(
            f"{task_file}: classes: are {', '.join(task.classes)}, the {where} was trained on "
            f"{', '.join(run.task.classes)}; accepted: the same"
        )
    data = [channel.identity for channel in open_volumes(task, task_file).channels]
    return RunSettings.of(task, run.network, "final", data)


def evaluate_run(
    record: RunRecord,
    target: RunSettings,
    out: Folder,
    store: CutoutStore,
    split: Split = "test",
    *,
    gpu: bool = False,
    threads: int = 0,
) -> Evaluated:
    """Measure a run's weights on a split and write the metrics to OUT/evaluations; the run file does not change.

    Args:
        record: A finished classification or segmentation run.
        target: Settings from `target_of`.
        out: Output folder with the weights.
        store: Cutout store; missing voxels are read into it.
        split: Split of the target's task.
        gpu: Whether to compute on a GPU.
        threads: CPU threads; 0 for as many as the run's workers had.

    Raises:
        InputError: weights, voxels or the split are missing.
        SourceError: a volume can't be read.
    """
    if gpu:
        check_gpu("--gpu")
    if not any(cube.split == split for cube in target.task.cubes):
        raise InputError(f"--split: {target.task.name} has no {split} split; accepted: one that it has")
    run = record.load_settings()
    threads = threads or record.placement.get("threads", 1)
    context = WorkerContext(device=torch.device("cuda" if gpu else "cpu"), threads=threads)
    model = load_model(run, checkpoint_folder(out, run), context.device)
    metrics = score(target, model, stored_split(store, target, split), context)
    content = {
        "run_id": record.run_id,
        "split": split,
        "settings": target.model_dump(mode="json"),
        "metrics": metrics,
        "placement": {"workers": 1, "threads": threads, "device": device_name(context.device)},
        "versions": versions(),
        "host": socket.gethostname(),
    }
    file = f"{record.run_id}-{target.run_id}-{split}.json"
    (out / _FOLDER).write(file, json.dumps(content, indent=1, allow_nan=True).encode())
    return Evaluated(metrics, f"{_FOLDER}/{file}")
