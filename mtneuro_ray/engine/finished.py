"""A finished run: its model, its data, and what its weights score on another split, task or volume."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from mtneuro_ray.config.pairs import check_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.cubes import CubeArrays, load_cubes
from mtneuro_ray.data.identities import by_role
from mtneuro_ray.data.ingest import ingest, open_volumes
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.data.stored import split_of
from mtneuro_ray.data.streamed import on_device
from mtneuro_ray.engine.checkpoint import NOT_THE_FILE, read_trained
from mtneuro_ray.engine.device import about_execution, check_gpu, make_repeatable, oom_guard
from mtneuro_ray.engine.ensemble import Ensemble
from mtneuro_ray.engine.evaluation import image_scores, measured
from mtneuro_ray.errors import InputError, StoreError
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.models.build import build_model, for_inference, placed
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import MODEL, TRAINED, RunRecord, checkpoint_folder
from mtneuro_ray.tasks.training.base import build_task
from mtneuro_ray.tasks.training.scaling import scaling_of, with_scaling

T = TypeVar("T")

_FOLDER = "evaluations"


def opened(record: RunRecord, out: Folder, *, gpu: bool, threads: int) -> tuple[RunSettings, nn.Module, WorkerContext]:
    """Settings and model of a finished run, and a worker: on a GPU or with CPU threads, 0 for as many as the run had.

    Raises:
        InputError: torch finds no GPU, or the weights are missing, damaged or of other settings.
    """
    if gpu:
        check_gpu("--gpu")
    run = record.load_settings()
    threads = threads or record.placement.get("threads", 1)
    context = WorkerContext(device=torch.device("cuda" if gpu else "cpu"), threads=threads)
    make_repeatable(context)
    return run, load_model(run, checkpoint_folder(out, run), context.device), context


def load_model(
    run: RunSettings, checkpoints: Folder, device: torch.device, *, drops_damaged: bool = False
) -> nn.Module:
    """The model of a finished run, from its checkpoint folder, in evaluation mode.

    Its attribute `scaling` is how its inputs are made of grey values (`data.normalization.Scaling`); None for bytes.

    With `drops_damaged`, damaged weights are deleted, so that the next submit trains the run again.

    Raises:
        InputError: its weights are not there, were changed, or are not those of its settings.
    """
    where = f"{checkpoints}/{MODEL}"
    try:
        trained = read_trained(checkpoints, device)
    except FileNotFoundError:
        raise InputError(
            f"{where}: no such file, so {run.model} on {run.task.name} can't predict; accepted: a run with its weights"
        ) from None
    except NOT_THE_FILE:
        raise
    except Exception as error:  # Parsers of foreign bytes raise anything.
        if drops_damaged:
            checkpoints.delete(TRAINED)
        remedy = "to submit again" if drops_damaged else f"to delete it and runs/{run.run_id}.json, and to train again"
        raise InputError(
            f"{where}: can't be used ({type(error).__name__}: what was written has changed); accepted: {remedy}"
        ) from None
    module = placed(build_model(run.network), run.network, device)
    try:
        module.load_state_dict(trained.weights)
    except Exception as error:  # As above: of keys, shapes and types that are another model's.
        raise InputError(
            f"{where}: are not the weights of {run.model} ({type(error).__name__}); accepted: those of run {run.run_id}"
        ) from None
    return with_scaling(module.eval(), trained.scaling)


def load_ensemble(
    records: Sequence[RunRecord], out: Folder, *, gpu: bool, threads: int, flips: bool = False, what: str = "classes"
) -> Ensemble:
    """The models of finished runs, in evaluation mode.

    Raises:
        InputError: weights are missing or damaged.
    """
    loaded = [opened(record, out, gpu=gpu, threads=threads) for record in records]
    context = loaded[0][2]
    members = tuple(
        (run, build_task(run, scaling=scaling_of(model)), for_inference(model, run.network, context.device))
        for run, model, _ in loaded
    )
    return Ensemble(members, context, flips, what == "embeddings")


def model_of(out: Folder, record: RunRecord) -> nn.Module:
    """The model of a finished run, or for a readout that of its encoder run, on the CPU in evaluation mode.

    Raises:
        InputError: its weights are missing, damaged or of other settings.
    """
    run = RunSettings.load(record.settings, f"run {record.run_id}: settings")
    trained = run.encoder_run or run
    return load_model(trained, checkpoint_folder(out, trained), torch.device("cpu"))


def stored_split(store: CutoutStore, run: RunSettings, split: Split) -> SplitArrays:
    """A split of a finished run in memory.

    Raises:
        InputError: the store lacks voxels, and the run's channels are other volumes now than when it was trained.
        SourceError: a volume can't be read.
    """
    return _with_voxels(load_split, store, run, split)


def stored_cubes(store: CutoutStore, run: RunSettings, split: Split) -> CubeArrays:
    """The cubes of a split of a finished run on patches, in memory; see `stored_split`."""
    return _with_voxels(load_cubes, store, run, split)


def _with_voxels(load: Callable[..., T], store: CutoutStore, run: RunSettings, split: Split) -> T:
    """What `load` returns of a split of a run; voxels that the store lacks are read from the volumes of the run.

    Raises:
        InputError: the store lacks voxels, and the run's channels are other volumes now than when it was trained.
        SourceError: a volume can't be read.
    """
    identities = by_role(run.task, run.data)
    try:
        return load(store, identities, run.task, split)
    except StoreError:
        # Through a copy that is not checked, so that no other split is read for it.
        # The cells of a readout are found in the annotation of all of its cubes.
        needed = [cube for cube in run.task.cubes if cube.split == split or run.task.declaration.reads_encoder]
        part = run.task.model_copy(update={"cubes": tuple(needed)})
        # A run's file does not say where its task lay: relative files start from the working folder.
        found = tuple(channel.identity for channel in open_volumes(part, Path(run.task.name)).channels)
        if found != run.data:
            raise InputError(
                f"{store.folder}: lacks the {split} split of run {run.run_id}, and "
                f"{', '.join(run.task.image_addresses)} is not the volume it was trained on; accepted: "
                "the --store that the run used"
            ) from None
        ingest(store, part, Path(run.task.name))
    return load(store, identities, run.task, split)


def target_of(
    record: RunRecord, task: TaskSettings | None, task_file: Path, eval_crops: str | None = None
) -> RunSettings:
    """Settings for evaluating a finished run: its own, or another task (None for its own) or `evaluation.eval_crops`.

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
) -> tuple[Metrics, str]:
    """Measure a run's weights on a split of a target (`target_of`); the run file does not change.

    On its own test split, the scores of single images are written, too: runs of earlier versions lack them. Voxels that
    the store lacks are read into it. `threads` 0 means as many as the run's workers had.

    Returns:
        Metrics as in a run file, without the loss, whose class weights only the training knows; and the file that holds
        them, OUT/evaluations/..., relative to OUT.

    Raises:
        InputError: weights, voxels or the split are missing.
        SourceError: a volume can't be read.
        OutOfMemoryError: memory is exhausted.
    """
    if not any(cube.split == split for cube in target.task.cubes):
        raise InputError(f"--split: {target.task.name} has no {split} split; accepted: one that it has")
    _, model, context = opened(record, out, gpu=gpu, threads=threads)
    data = _with_voxels(split_of, store, target, split)
    with oom_guard("while evaluating"):
        task = build_task(target, scaling=scaling_of(model))
        found = measured(task, model, on_device(data, context.device), context)
    metrics = found.metrics
    del metrics["loss"]
    images = image_scores(task, split, data, found)
    if target.run_id == record.run_id and split == "test" and images is not None:
        images.write(out, record.run_id)
    content = {
        "run_id": record.run_id,
        "split": split,
        "settings": target.model_dump(mode="json"),
        "metrics": metrics,
        **about_execution(context),
    }
    file = f"{record.run_id}-{target.run_id}-{split}.json"
    (out / _FOLDER).write(file, json.dumps(content, indent=1, allow_nan=True).encode())
    return metrics, f"{_FOLDER}/{file}"
