"""Predictions of a finished run on disk, compared with the metrics in its run file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data import predictions
from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.mosaic import Mosaic, assemble, cut, overlapping
from mtneuro_ray.data.predictions import Predictions
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.store import Bytes, CutoutStore
from mtneuro_ray.engine.cubes import predicted_cubes
from mtneuro_ray.engine.device import about_execution, oom_guard
from mtneuro_ray.engine.evaluation import judged_parts
from mtneuro_ray.engine.finished import opened, stored_cubes, stored_split
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.tasks.training.base import Judged, build_task
from mtneuro_ray.tasks.training.scaling import scaling_of

# Share of the voxels that may change class where a run was evaluated in another arithmetic.
_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Written:
    """Predictions on disk, and their metrics as read back from there.

    `verdict` compares them with the metrics in the run file, for a person; `agrees` is whether the two are equal, or as
    close as a change of arithmetic allows.
    """

    place: Folder
    metrics: Metrics
    verdict: str
    agrees: bool


@torch.no_grad()
def predict(run: RunSettings, model: nn.Module, arrays: SplitArrays, context: WorkerContext, workers: int = 1) -> Bytes:
    """Classes of a split's voxels, (N, Z, Y, X) in the order of the split, from the forward passes of its evaluation.

    Each of the run's `workers` evaluated its own share of the images. Unpadded convolutions leave the images' centres.

    Raises:
        OutOfMemoryError: memory is exhausted.
    """
    task, split = build_task(run, scaling=scaling_of(model)), ResidentSplit(arrays, context.device)
    with oom_guard("while predicting"):
        classes: Bytes = np.concatenate(
            [
                judged.prediction.to(torch.uint8).cpu().numpy()
                for rank in range(workers)
                for judged, _ in judged_parts(task, model, split, replace(context, rank=rank, world_size=workers))
            ]
        )
    return classes[:, None] if classes.ndim == 3 else classes


def measure(run: RunSettings, masks: Bytes, predicted: Bytes) -> Metrics:
    """Metrics of predictions (N, Z, Y, X), scored on the centres of `masks` where those are larger."""
    starts = [(full - part) // 2 for full, part in zip(masks.shape, predicted.shape, strict=True)]
    centre = tuple(slice(start, start + part) for start, part in zip(starts, predicted.shape, strict=True))
    return _measured(run, zip(predicted, np.ascontiguousarray(masks[centre]), strict=True))


def _measured(run: RunSettings, pairs: Iterable[tuple[Bytes, Bytes]]) -> Metrics:
    """Metrics of images (Z, Y, X): predicted and true classes of each."""
    task = build_task(run)
    states = task.start()
    # Image by image: the counts of a whole split at once would need many times its memory.
    for own, true in pairs:
        # A single slice is judged as in training, in 2D: a metric of shapes would take it for a volume.
        images = [torch.from_numpy(each if len(each) == 1 else each[None]).long() for each in (own, true)]
        mask = images[1] != IGNORED if run.task.ignoring else None
        states = task.update(states, Judged(torch.zeros(1), images[0], images[1], mask))
    return task.compute(states)


def predict_run(
    record: RunRecord, out: Folder, store: CutoutStore, split: Split = "test", *, gpu: bool = False, threads: int = 0
) -> Written:
    """Predict a split with the weights of a final segmentation run, write it to OUT, read it back and measure it.

    Voxels that the store lacks are read into it. `threads` 0 means as many as the run's workers had, which repeats its
    arithmetic.

    Raises:
        InputError: weights or voxels are missing.
    """
    run, model, context = opened(record, out, gpu=gpu, threads=threads)
    if run.task.sampling.is_patches:
        return _predict_cubes(record, run, model, context, out, store, split)
    arrays = stored_split(store, run, split)
    assert arrays.masks is not None
    classes = predict(run, model, arrays, context, record.placement.get("workers", 1))
    place, cubes = _stored(run, out, store, split, assemble(run.task, split, classes))
    stored = cut(run.task, split, cubes, classes.shape[1:])
    metrics = measure(run, arrays.masks, stored)
    if overlapping(run.task):
        verdict = "tiles overlap and the later one is kept, so these are not the metrics of the run's separate tiles"
        return Written(place, metrics, verdict, True)
    return Written(place, metrics, *_compared(record, split, metrics, _changes(record, context)))


def _predict_cubes(
    record: RunRecord,
    run: RunSettings,
    model: nn.Module,
    context: WorkerContext,
    out: Folder,
    store: CutoutStore,
    split: Split,
) -> Written:
    """As `predict_run`, where cubes are predicted whole; the run's workers had no part in the arithmetic."""
    data = stored_cubes(store, run, split)
    with oom_guard("while predicting"):
        mosaics = predicted_cubes(build_task(run, scaling=scaling_of(model)), model, data, context)
    place, cubes = _stored(run, out, store, split, mosaics)
    by_number = dict(zip(dict.fromkeys(number for number, _ in data.cells), cubes, strict=True))

    def pairs() -> Iterator[tuple[Bytes, Bytes]]:
        for number, roi in data.cells:
            mosaic, own = by_number[number], roi.moved(data.cubes[number].roi.origin)
            yield mosaic.pixels[own.relative_to(mosaic.offset).slices], data.masks([(number, roi)])[0]

    metrics = _measured(run, pairs())
    return Written(place, metrics, *_compared(record, split, metrics, _changes(record, context)))


def _stored(
    run: RunSettings, out: Folder, store: CutoutStore, split: Split, mosaics: Sequence[Mosaic]
) -> tuple[Folder, tuple[Mosaic, ...]]:
    """Write predictions of a split and read them back."""
    place = predictions.place_of(out, run.run_id, split)
    predictions.write(place, Predictions.of(run, split, mosaics, store.about(run.data[0])))
    return place, predictions.read(place).cubes


def _changes(record: RunRecord, context: WorkerContext) -> list[str]:
    """Differences in hardware and software since the run that can change the last bits of a sum."""
    about = about_execution(context)
    there = {**record.placement, "torch": record.versions.get("torch"), "host": record.host}
    here = {**about["placement"], "torch": about["versions"]["torch"], "host": about["host"]}
    names = ("device", "threads", "torch", "host")
    found = [f"{key} {there.get(key)} then, {here[key]} now" for key in names if there.get(key) != here[key]]
    return [*found, *(["a GPU adds in no fixed order"] if context.device.type == "cuda" else [])]


def _compared(record: RunRecord, split: Split, metrics: Metrics, changes: list[str]) -> tuple[str, bool]:
    """Verdict on whether metrics equal those in the run file, in words and as a truth value."""
    expected: dict[str, Any] = record.metrics.get(split, {})
    common = metrics.keys() & expected.keys()
    if not common:
        return f"the run's file has no metrics of the {split} split to compare with", True
    # As text, in which NaN equals itself.
    other = sorted(key for key in common if json.dumps(metrics[key]) != json.dumps(expected[key]))
    if not other:
        return f"equal to the {split} metrics in the run's file", True
    if "confusion" not in common:
        why = f" ({'; '.join(changes)})" if changes else ""
        return f"not the {split} metrics in the run's file: {', '.join(other)} differ{why}", bool(changes)
    then, now = np.array(expected["confusion"]), np.array(metrics["confusion"])
    verdict = f"not the {split} metrics in the run's file"
    if then.shape != now.shape or then.sum() != now.sum():
        return f"{verdict}: those count {then.sum()} voxels, these {now.sum()}", False
    moved = int(np.abs(then - now).sum() + 1) // 2
    verdict = f"{verdict}: {moved} of {now.sum()} voxels or more have another class"
    if not changes:
        return verdict, False
    return f"{verdict} ({'; '.join(changes)})", moved <= _TOLERANCE * now.sum()
