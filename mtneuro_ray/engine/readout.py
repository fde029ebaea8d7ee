"""Task 3: what a linear readout of a frozen encoder's embeddings tells of an image (paper, section 4.3, Appendix 5)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.attributes import ATTRIBUTES
from mtneuro_ray.data.embeddings import Embeddings, Vectors
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine.batches import ResidentSplit
from mtneuro_ray.engine.context import WorkerContext
from mtneuro_ray.engine.evaluation import autocast, parts
from mtneuro_ray.engine.memory import memory_watched
from mtneuro_ray.errors import InputError, TrainingError
from mtneuro_ray.metrics.confusion import Metrics
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.roi import corners
from mtneuro_ray.tasks.build import build_task

Floats = npt.NDArray[np.float64]

# Directions of the embeddings, relative to the longest, below which there is only the rounding of float32.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """What a readout has found.

    Attributes:
        metrics: "all": fitted to, and scored on, the corners of both splits, as in the paper. "test": fitted to those
            of the training split and scored on those of the test split.
        embeddings: Of every corner.
        timings: Seconds; of this process, so not repeatable.
    """

    metrics: dict[str, Metrics]
    embeddings: Embeddings
    timings: dict[str, float]


def probe(
    run: RunSettings, model: nn.Module, data: Mapping[Split, SplitArrays], context: WorkerContext
) -> ProbeOutcome:
    """Read the attributes of corners out of a frozen encoder. Call on every worker of the run.

    Args:
        run: The readout; its encoder_run decides scaling and arithmetic of the encoder's inputs.
        model: The encoder_run's trained model, on the device.
        data: The splits "train" and "test", with targets.
        context: Where this worker runs.

    Raises:
        InputError: the run has no encoder.
        TrainingError: embeddings are no numbers.
        OutOfMemoryError: memory is exhausted.
    """
    if run.encoder_run is None or not isinstance(model, EncoderClassifier):
        raise InputError(f"{run.task.name}: {run.model} has no features to read out; accepted: an encoder of Task 1")
    started = time.perf_counter()
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(context.device.type == "cpu")
    with memory_watched("while reading features", "a device with more memory"):
        vectors = {split: _embed(run.encoder_run, model, arrays, context) for split, arrays in data.items()}
    embedded = time.perf_counter()
    embeddings = Embeddings.of(run, data, vectors)
    if not np.isfinite(embeddings.vectors).all():
        raise TrainingError(f"the features of {run.encoder_run.model} on {run.task.name} are not all numbers")
    inputs, targets = embeddings.vectors.astype(np.float64), embeddings.targets
    train, test = embeddings.splits == "train", embeddings.splits == "test"
    # Threads decide the order of sums here, too.
    with threadpool_limits(context.threads):
        metrics = {
            "all": regress(inputs, targets, inputs, targets),
            "test": regress(inputs[train], targets[train], inputs[test], targets[test]),
        }
    done = time.perf_counter()
    timings = {"total_s": done - started, "embed_s": embedded - started, "fit_s": done - embedded}
    return ProbeOutcome(metrics, embeddings, timings)


@torch.no_grad()
def _embed(encoder_run: RunSettings, model: EncoderClassifier, arrays: SplitArrays, context: WorkerContext) -> Vectors:
    """Features of the corners of a split's images, (N, 4, F); each worker asks for its own share."""
    # Weights of classes are for the loss, which is not asked: any counts will do.
    task = build_task(encoder_run, (1,) * len(encoder_run.task.classes))
    split = ResidentSplit(arrays, context.device)
    model.eval()
    start, stop = context.share_of(len(split))
    found: list[Vectors] = []
    for part in parts(start, stop, arrays.images[:1].size):
        images = split.part(*part).images
        with autocast(encoder_run.network, context.device):
            features = [
                model.features(task.inputs(images[..., rows, columns])).float()
                for rows, columns in corners(*images.shape[-2:])
            ]
        found.append(torch.stack(features, dim=1).cpu().numpy())
    return np.concatenate([own for each in context.gather(found) for own in each])


def regress(inputs: Floats, targets: Floats, test_inputs: Floats, test_targets: Floats) -> Metrics:
    """R2 of a linear regression of each attribute, and their mean.

    Of an attribute that is the same in all of the test there is no R2: it is left out, and so is the mean, which would
    be one of other attributes.

    Args:
        inputs: (M, F) embeddings that are fitted.
        targets: (M, 5) their attributes.
        test_inputs: (K, F) embeddings that are scored.
        test_targets: (K, 5) their attributes.
    """
    # A second to import, which trials other than readouts need not.
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score

    predicted = LinearRegression(tol=_ROUNDING).fit(inputs, targets).predict(test_inputs)
    scores: Metrics = {
        f"r2/{name}": float(r2_score(test_targets[:, column], predicted[:, column]))
        for column, name in enumerate(ATTRIBUTES)
        if np.ptp(test_targets[:, column]) > 0
    }
    if len(scores) == len(ATTRIBUTES):
        scores["r2_mean"] = float(np.mean(list(scores.values())))
    return scores
