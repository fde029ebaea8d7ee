"""A finished run's model, asked for the class of every voxel."""

from __future__ import annotations

import io
import pickle

import numpy as np
import torch
from torch import nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.engine.batches import ResidentSplit
from mtneuro_ray.engine.context import WorkerContext
from mtneuro_ray.engine.evaluation import autocast, evaluate, parts, placed
from mtneuro_ray.engine.memory import memory_watched
from mtneuro_ray.errors import InputError
from mtneuro_ray.metrics.confusion import Metrics, image_confusions
from mtneuro_ray.models.build import build_model
from mtneuro_ray.storage.checkpoints import MODEL
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.tasks.base import Task
from mtneuro_ray.tasks.build import build_task

_MORE_MEMORY = "a device with more memory"


def load_model(run: RunSettings, checkpoints: Folder, device: torch.device) -> nn.Module:
    """The model of a finished run, as the loop evaluates it.

    Raises:
        InputError: its weights are not there, or are not those of its settings.
    """
    where = f"{checkpoints}/{MODEL}"
    try:
        state = torch.load(io.BytesIO(checkpoints.read(MODEL)), map_location=device, weights_only=True)
    except FileNotFoundError:
        raise InputError(
            f"{where}: no such file, so {run.model} on {run.task.name} can't predict; accepted: a run with its weights"
        ) from None
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{where}: can't be read ({type(error).__name__}); accepted: weights of a run") from None
    module = placed(build_model(run.network), run.network, device)
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"{where}: are not the weights of {run.model} ({type(error).__name__}); accepted: those of run {run.run_id}"
        ) from None
    return module.eval()


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
        workers: Of the run: each evaluated its own share of the images.

    Returns:
        (N, Z, Y, X) in the order of the split; unpadded convolutions leave the centres of the images.

    Raises:
        OutOfMemoryError: memory is exhausted.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device.type == "cpu")
    task, split = _task(run), ResidentSplit(arrays, device)
    predicted = []
    with memory_watched("while predicting", _MORE_MEMORY):
        for rank in range(workers):
            start, stop = WorkerContext(rank, workers).share_of(len(split))
            for part in parts(start, stop, arrays.images[0].size):
                with autocast(run.network, device):
                    logits = model(task.inputs(split.part(*part).images)).float()
                predicted.append(logits.argmax(1).to(torch.uint8).cpu().numpy())
    classes: Bytes = np.concatenate(predicted)
    return classes[:, None] if classes.ndim == 3 else classes


def measure(run: RunSettings, masks: Bytes, predicted: Bytes) -> Metrics:
    """Metrics of predictions (N, Z, Y, X), scored on the centres of `masks` where those are larger."""
    task = _task(run)
    truth = _centre(masks, predicted.shape)
    # Image by image: the counts of a whole split at once would need many times its memory.
    confusions = [
        image_confusions(torch.from_numpy(own[None]), torch.from_numpy(true[None]), task.num_classes)
        for own, true in zip(predicted, truth, strict=True)
    ]
    return task.metrics(np.concatenate(confusions))


def score(run: RunSettings, model: nn.Module, arrays: SplitArrays, context: WorkerContext) -> Metrics:
    """Metrics of a model on a split, as the loop evaluates it; without the loss, whose weights are of its training.

    Raises:
        OutOfMemoryError: memory is exhausted.
    """
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(context.device.type == "cpu")
    with memory_watched("while evaluating", _MORE_MEMORY):
        metrics = evaluate(_task(run), model, ResidentSplit(arrays, context.device), arrays, context)
    del metrics["loss"]
    return metrics


def _task(run: RunSettings) -> Task:
    # Weights of classes are for the loss, which is not asked: any counts will do.
    return build_task(run, (1,) * len(run.task.classes))


def _centre(masks: Bytes, shape: tuple[int, ...]) -> Bytes:
    starts = [(full - part) // 2 for full, part in zip(masks.shape, shape, strict=True)]
    return np.ascontiguousarray(
        masks[tuple(slice(start, start + part) for start, part in zip(starts, shape, strict=True))]
    )
