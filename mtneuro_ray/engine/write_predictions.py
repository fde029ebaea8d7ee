"""Predictions of a finished run on disk, compared with the metrics in its run file."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data import predictions
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.mosaic import assemble, cut, overlapping
from mtneuro_ray.data.predictions import Predictions
from mtneuro_ray.data.prepare import ingest
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.execute import device_name
from mtneuro_ray.engine.local import check_gpu, fetch_all
from mtneuro_ray.engine.predict import load_model, measure, predict
from mtneuro_ray.errors import InputError, StoreError
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.storage.checkpoints import checkpoint_folder
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord

# Share of the voxels that may change class where a run was evaluated in another arithmetic.
_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Written:
    """Predictions on disk.

    Attributes:
        place: Folder that holds them.
        metrics: Metrics of the predictions as read back from there.
        verdict: Comparison with the metrics in the run file, for a person.
        agrees: Whether the two are equal, or as close as a change of arithmetic allows.
    """

    place: Folder
    metrics: Metrics
    verdict: str
    agrees: bool


def stored_split(store: CutoutStore, run: RunSettings, split: Split) -> SplitArrays:
    """A split of a finished run; voxels that the store lacks are read from the run's volumes.

    Raises:
        InputError: the store lacks voxels, and the run's channels are other volumes now than when it was trained.
        SourceError: a volume can't be read.
    """
    # Tasks whose cubes say their regions read no annotation.
    image, annotation = run.data if len(run.data) > 1 else (run.data[0], None)
    try:
        return load_split(store, image, annotation, run.task, split)
    except StoreError:
        # Through a copy that is not checked, so that no other split is read for it.
        # The cells of a readout are found in the annotation of all of its cubes.
        needed = [cube for cube in run.task.cubes if cube.split == split or run.task.declaration.reads_encoder]
        part = run.task.model_copy(update={"cubes": tuple(needed)})
        # A run's file does not say where its task lay: relative files start from the working folder.
        found = tuple(channel.identity for channel in open_volumes(part, Path(run.task.name)).channels)
        if found != run.data:
            raise InputError(
                f"{store.folder}: lacks the {split} split of run {run.run_id}, and {run.task.image_chan} is not the "
                "volume it was trained on; accepted: the --store that the run used"
            ) from None
        ingest(store, part, Path(run.task.name), fetch_all)
    return load_split(store, image, annotation, run.task, split)


def predict_run(
    record: RunRecord, out: Folder, store: CutoutStore, split: Split = "test", *, gpu: bool = False, threads: int = 0
) -> Written:
    """Predict a split with the weights of a finished run, write it, read it back and measure it.

    Args:
        record: A final segmentation run.
        out: Output folder with its weights; the predictions are written there.
        store: Cutout store; missing voxels are read into it.
        split: Split to predict.
        gpu: Whether to compute on a GPU.
        threads: CPU threads; 0 for as many as the run's workers had, which repeats its arithmetic.

    Raises:
        InputError: weights or voxels are missing.
    """
    if gpu:
        check_gpu("--gpu")
    device = torch.device("cuda" if gpu else "cpu")
    run = record.load_settings()
    threads = threads or record.placement.get("threads", 1)
    model = load_model(run, checkpoint_folder(out, run), device)
    arrays = stored_split(store, run, split)
    assert arrays.masks is not None
    workers = record.placement.get("workers", 1)
    classes = predict(run, model, arrays, device, threads=threads, workers=workers)
    place = predictions.place_of(out, run.run_id, split)
    predictions.write(place, Predictions.of(run, split, assemble(run.task, split, classes)))
    stored = cut(run.task, split, predictions.read(place).cubes, classes.shape[1:])
    metrics = measure(run, arrays.masks, stored)
    if overlapping(run.task):
        verdict = "tiles overlap and the later one is kept, so these are not the metrics of the run's separate tiles"
        return Written(place, metrics, verdict, True)
    return Written(place, metrics, *_compared(record, split, metrics, _changes(record, device, threads)))


def _changes(record: RunRecord, device: torch.device, threads: int) -> list[str]:
    """Differences in hardware and software since the run that can change the last bits of a sum."""
    name = device_name(device)
    there = {**record.placement, "torch": record.versions.get("torch"), "host": record.host}
    here = {"device": name, "threads": threads, "torch": torch.__version__, "host": socket.gethostname()}
    found = [f"{key} {there.get(key)} then, {value} now" for key, value in here.items() if there.get(key) != value]
    return [*found, *(["a GPU adds in no fixed order"] if device.type == "cuda" else [])]


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
