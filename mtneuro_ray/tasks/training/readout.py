"""Task 3: a linear readout of semantic attributes from a frozen encoder (paper, section 4.3, Appendix 5)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data import embeddings
from mtneuro_ray.data.attributes import ATTRIBUTES, names_of
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.embeddings import Embeddings, Vectors
from mtneuro_ray.data.samples import SplitData
from mtneuro_ray.data.sampling import numbered_samples
from mtneuro_ray.data.streamed import on_device
from mtneuro_ray.errors import InputError, TrainingError
from mtneuro_ray.metrics import regression
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.roi import corners
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.image_scores import ImageScores
from mtneuro_ray.tasks.training.base import Reading, build_task, features_of
from mtneuro_ray.tasks.training.scaling import scaling_of

Floats = npt.NDArray[np.float64]

# Directions of the embeddings, relative to the longest, below which there is only the rounding of float32.
_ROUNDING = 1e-6


def read_out(run: RunSettings, model: nn.Module, data: Mapping[Split, SplitData], context: WorkerContext) -> Reading:
    """Linear regression of the attributes of corners on the features of a frozen encoder.

    Metrics "all": fitted to, and scored on, the corners of all splits, as in the paper. Metrics "test": fitted to the
    corners of the training split and scored on those of the test split; a val split, in the benchmark the ten slices
    between the two, has no part in them. Where voxels are no cubes, the distance in
    micrometers is one more attribute, which has no part in the mean. The encoder's run says how inputs are scaled.

    Raises:
        InputError: the run has no encoder.
        TrainingError: embeddings are not finite.
    """
    encoder_run = run.encoder_run
    if encoder_run is None or not isinstance(model, EncoderClassifier):
        raise InputError(f"{run.task.name}: {run.model} has no features to read out; accepted: an encoder of Task 1")
    started = time.perf_counter()
    task = build_task(encoder_run, scaling=scaling_of(model))
    vectors: dict[Split, Vectors] = {
        split: features_of(task, model, on_device(arrays, context.device), context, _corners).numpy()
        for split, arrays in data.items()
    }
    embedded = time.perf_counter()
    found = Embeddings.of(run, data, vectors)
    if not np.isfinite(found.vectors).all():
        raise TrainingError(f"the features of {encoder_run.model} on {run.task.name} are not all numbers")
    inputs, targets = found.vectors.astype(np.float64), found.targets
    train, test = found.splits == "train", found.splits == "test"
    # Threads decide the order of sums here, too.
    metrics: dict[str, Metrics] = {"all": {}, "test": {}}
    predicted: dict[str, Floats] = {}
    samples = {"all": (np.ones_like(train), np.ones_like(train)), "test": (train, test)}
    with threadpool_limits(context.threads):
        for names in (more_names(targets), ATTRIBUTES):
            if names:
                own = targets[:, [names_of(7).index(name) for name in names]]
                for split, (fit, judged) in samples.items():
                    scores, predicted[split] = regress(inputs[fit], own[fit], inputs[judged], own[judged], names)
                    metrics[split] = {**scores, **metrics[split]}
    done = time.perf_counter()
    timings = {"total_s": done - started, "embed_s": embedded - started, "fit_s": done - embedded}

    def write(out: Folder) -> None:
        embeddings.write(out, found)
        judged = {split: (own, predicted[split]) for split, (_, own) in samples.items()}
        _image_scores(run, found, judged).write(out, run.run_id)

    return Reading(metrics, timings, write)


def _image_scores(
    run: RunSettings, found: Embeddings, judged: Mapping[str, tuple[npt.NDArray[np.bool_], Floats]]
) -> ImageScores:
    """Truth and prediction of each corner. `judged` has the corners of each set of samples, and their predictions."""
    splits = dict.fromkeys(found.splits.tolist())
    cubes = np.repeat([cube for split in splits for cube, _ in numbered_samples(run.task, split)], 4)
    chosen = [own for own, _ in judged.values()]
    truth = [found.targets[own, : len(ATTRIBUTES)] for own in chosen]
    pairs = [np.stack(pair, axis=-1) for pair in zip(truth, (own for _, own in judged.values()), strict=True)]
    return ImageScores(
        splits=np.repeat(list(judged), [int(own.sum()) for own in chosen]),
        cubes=np.concatenate([cubes[own] for own in chosen]),
        origins=np.concatenate([found.origins[own] for own in chosen]),
        rows={regression.NAME: np.concatenate(pairs)},
    )


def _corners(images: Tensor) -> list[Tensor]:
    return [images[..., rows, columns] for rows, columns in corners(*images.shape[-2:])]


def regress(
    inputs: Floats, targets: Floats, test_inputs: Floats, test_targets: Floats, names: Sequence[str] = ATTRIBUTES
) -> tuple[Metrics, Floats]:
    """R2 of a linear regression of each attribute, fitted to M embeddings and scored on K others, and their mean.

    Beside them the predicted attributes of the K.

    Inputs are (M, F) and (K, F), targets have a column for each name. An attribute that is the same in all K has no R2:
    it is left out, and so is the mean over ATTRIBUTES, which would be one of other attributes.
    """
    # A second to import, which trials of other tasks need not.
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score

    predicted = LinearRegression(tol=_ROUNDING).fit(inputs, targets).predict(test_inputs)
    scores: Metrics = {
        f"r2/{name}": float(r2_score(test_targets[:, column], predicted[:, column]))
        for column, name in enumerate(names)
        if np.ptp(test_targets[:, column]) > 0
    }
    if len(scores) == len(ATTRIBUTES):
        scores["r2_mean"] = float(np.mean(list(scores.values())))
    return scores, predicted


def more_names(targets: Floats) -> tuple[str, ...]:
    """Attributes in micrometers, of targets (M, 5 or 7), with an R2 of their own.

    That of a multiple of the attribute in voxels is the same: sizes always are one, distances between cubic voxels too.
    """
    if targets.shape[1] == len(ATTRIBUTES):
        return ()
    voxels, micrometers = (targets[:, names_of(7).index(name)] for name in ("cell_distance", "cell_distance_um"))
    factor = micrometers.sum() / max(voxels.sum(), _ROUNDING)
    return () if np.allclose(micrometers, factor * voxels, rtol=1e-9, atol=0) else ("cell_distance_um",)
