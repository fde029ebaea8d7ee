"""Predictions and metrics of a finished run's model."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.engine.checkpoint import read_trained
from mtneuro_ray.engine.evaluation import evaluate
from mtneuro_ray.engine.oom import oom_guard
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.models.build import autocast, build_model, placed
from mtneuro_ray.storage.checkpoints import MODEL, TRAINED, checkpoint_folder
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.tasks.training.base import Judged, build_task

_MORE_MEMORY = "a device with more memory"


def load_model(
    run: RunSettings, checkpoints: Folder, device: torch.device, *, drops_damaged: bool = False
) -> nn.Module:
    """The model of a finished run, as the loop evaluates it.

    Args:
        run: Settings of the run.
        checkpoints: Its checkpoint folder.
        device: Device of the model.
        drops_damaged: Whether damaged weights are given up, so that the next submit trains the run again.

    Raises:
        InputError: its weights are not there, were changed, or are not those of its settings.
    """
    where = f"{checkpoints}/{MODEL}"
    try:
        weights = read_trained(checkpoints, device).weights
    except FileNotFoundError:
        raise InputError(
            f"{where}: no such file, so {run.model} on {run.task.name} can't predict; accepted: a run with its weights"
        ) from None
    except (MTNeuroError, MemoryError, torch.OutOfMemoryError):
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
        module.load_state_dict(weights)
    except Exception as error:  # As above: of keys, shapes and types that are another model's.
        raise InputError(
            f"{where}: are not the weights of {run.model} ({type(error).__name__}); accepted: those of run {run.run_id}"
        ) from None
    return module.eval()


def model_of(out: Folder, record: RunRecord) -> nn.Module:
    """The model of a finished run, on the CPU in evaluation mode; of a readout, that of its encoder run.

    Raises:
        InputError: its weights are missing, damaged or of other settings.
    """
    run = RunSettings.load(record.settings, f"run {record.run_id}: settings")
    trained = run.encoder_run or run
    return load_model(trained, checkpoint_folder(out, trained), torch.device("cpu"))


@torch.no_grad()
def predict(
    run: RunSettings, model: nn.Module, arrays: SplitArrays, device: torch.device, *, threads: int = 1, workers: int = 1
) -> Bytes:
    """Classes of a split's voxels, from the same forward passes as the evaluation of the run.

    Args:
        run: A segmentation run.
        model: Its model, on the device.
        arrays: The split.
        device: Where to compute.
        threads: CPU threads; they decide the order of sums.
        workers: Workers of the run, each of which evaluated its own share of the images.

    Returns:
        (N, Z, Y, X) in the order of the split; unpadded convolutions leave the centres of the images.

    Raises:
        OutOfMemoryError: memory is exhausted.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device.type == "cpu")
    task, split = build_task(run), ResidentSplit(arrays, device)
    predicted = []
    with oom_guard("while predicting", _MORE_MEMORY):
        for rank in range(workers):
            start, stop = WorkerContext(rank, workers).share_of(len(split))
            for part in split.parts(start, stop):
                with autocast(run.network, device):
                    logits = model(task.inputs(split.part(*part).images)).float()
                predicted.append(logits.argmax(1).to(torch.uint8).cpu().numpy())
    classes: Bytes = np.concatenate(predicted)
    return classes[:, None] if classes.ndim == 3 else classes


def measure(run: RunSettings, masks: Bytes, predicted: Bytes) -> Metrics:
    """Metrics of predictions (N, Z, Y, X), scored on the centres of `masks` where those are larger."""
    task = build_task(run)
    truth, states = _centre(masks, predicted.shape), task.start()
    # Image by image: the counts of a whole split at once would need many times its memory.
    for own, true in zip(predicted, truth, strict=True):
        # A single slice is judged as in training, in 2D: a metric of shapes would take it for a volume.
        images = [torch.from_numpy(each if len(each) == 1 else each[None]).long() for each in (own, true)]
        states = task.update(states, Judged(torch.zeros(1), images[0], images[1]))
    return task.compute(states)


def score(run: RunSettings, model: nn.Module, arrays: SplitArrays, context: WorkerContext) -> Metrics:
    """Metrics of a model on a split, without the loss, whose class weights are known to its training only.

    Raises:
        OutOfMemoryError: memory is exhausted.
    """
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(context.device.type == "cpu")
    with oom_guard("while evaluating", _MORE_MEMORY):
        metrics = evaluate(build_task(run), model, ResidentSplit(arrays, context.device), context)
    del metrics["loss"]
    return metrics


def _centre(masks: Bytes, shape: tuple[int, ...]) -> Bytes:
    starts = [(full - part) // 2 for full, part in zip(masks.shape, shape, strict=True)]
    return np.ascontiguousarray(
        masks[tuple(slice(start, start + part) for start, part in zip(starts, shape, strict=True))]
    )
