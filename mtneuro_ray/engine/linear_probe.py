"""A linear layer on frozen features (paper, section 4.1), and the features that need no gradient steps."""

from __future__ import annotations

import time
from typing import cast

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from mtneuro_ray.config.owners import FrozenSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.engine.batches import Indices, ResidentSplit
from mtneuro_ray.engine.checkpoint import History, Progress
from mtneuro_ray.engine.context import WorkerContext
from mtneuro_ray.engine.evaluation import autocast, parts
from mtneuro_ray.engine.fitting import Fit
from mtneuro_ray.engine.optimizer import build_optimizer, learning_rate
from mtneuro_ray.losses.functional import build_loss, class_weights
from mtneuro_ray.models.nets.decomposition import Decomposition
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.tasks.base import Task
from mtneuro_ray.tasks.classification import ClassificationTask

# A feature that deviates by less than this, or than this part of the one that deviates most or of its own mean, is the
# same in all images but for rounding, as the last of N components of N images. Scaled to deviation 1 it would drown all
# others in images where it does differ.
_SMALLEST_DEVIATION, _SMALLEST_PART = 1e-6, 1e-5


class _HeadFit(Fit):
    """Training of one linear layer on features that lie in memory. Every worker does the whole of it, and the same."""

    def __init__(self, run: RunSettings, head: nn.Linear, features: Tensor, labels: Tensor) -> None:
        network = run.network
        self.context = WorkerContext(device=features.device)
        self.module = head
        self.optimizer = build_optimizer(network, head.parameters(), features.device)
        self.epochs, self.batch_size = network.optimizer.epochs, network.data.batch_size
        self.seed = network.seed
        self.count = len(features)
        self._network, self._head, self._features, self._labels = network, head, features, labels
        counts = torch.bincount(labels, minlength=network.classes).tolist()
        self._loss = build_loss(network.loss.name, class_weights(network.loss.class_weights, counts))

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """The network's schedule."""
        return learning_rate(self._network, step, steps_per_epoch)

    def step(self, indices: Indices, epoch: int, step: int, steps_per_epoch: int) -> dict[str, Tensor]:
        """One optimizer step; the summed loss of the batch."""
        index = torch.from_numpy(indices).to(self._features.device)
        self.optimizer.zero_grad(set_to_none=True)
        total = self._loss(self._head(self._features[index]), self._labels[index]).sum()
        (total / len(indices)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {"loss": total.detach()}


def train_head(
    run: RunSettings, split: ResidentSplit, task: Task, context: WorkerContext, classifier: EncoderClassifier
) -> History:
    """Train the classifier's last layer on the frozen features of a split's crops, and leave the rest as it is.

    With `readout_norm` "standard" each feature is shifted and scaled to mean 0 and deviation 1 over the split; the
    layer that is left takes the features as they are.

    Returns:
        One entry per epoch.
    """
    features, labels = _features(split, task, context, classifier)
    deviation, mean = torch.std_mean(features, dim=0, correction=0)
    floor = torch.maximum(deviation.max(), mean.abs()).mul(_SMALLEST_PART).clamp_min(_SMALLEST_DEVIATION)
    # Divided by infinity such a feature, and its weight in the layer that is left, are 0.
    deviation = deviation.masked_fill(deviation <= floor, torch.inf)
    if cast(FrozenSettings, run.network.method).probe_norm == "none":
        deviation, mean = torch.ones_like(deviation), torch.zeros_like(mean)
    torch.manual_seed(run.network.seed)
    head = nn.Linear(features.shape[1], run.network.classes).to(features.device)
    fit = _HeadFit(run, head, (features - mean) / deviation, labels)
    progress = Progress()
    fit.run(progress)
    with torch.no_grad():
        weight = head.weight / deviation
        classifier.head.weight.copy_(weight)
        classifier.head.bias.copy_(head.bias - weight @ mean)
    return progress.history


@torch.no_grad()
def _features(
    split: ResidentSplit, task: Task, context: WorkerContext, classifier: EncoderClassifier
) -> tuple[Tensor, Tensor]:
    """Features (N * crops, F), float32, and labels (N * crops,) of a split, on every worker."""
    task = cast(ClassificationTask, task)
    classifier.eval()
    start, stop = context.share_of(len(split))
    own: list[Tensor] = []
    labels: list[Tensor] = []
    voxels = split.part(0, 1).images.numel()
    for part in parts(start, stop, voxels):
        batch = split.part(*part)
        crops = task.crops(batch.images)
        with autocast(task.network, context.device):
            features = [classifier.features(task.inputs(crop)).float() for crop in crops]
        own.append(torch.stack(features, dim=1).flatten(0, 1))
        labels.append(batch.labels.repeat_interleave(len(crops)))
    gathered = context.gather((torch.cat(own).cpu(), torch.cat(labels).cpu()) if own else None)
    shares = [share for share in gathered if share is not None]
    features_of_all, labels_of_all = (torch.cat(part).to(context.device) for part in zip(*shares, strict=True))
    return features_of_all, labels_of_all


def decompose(
    run: RunSettings, split: ResidentSplit, task: Task, context: WorkerContext, classifier: EncoderClassifier
) -> dict[str, float]:
    """Fit PCA or NMF to a split's crops, flattened (paper, section 4.1). Every worker does the whole of it.

    Returns:
        Timings.
    """
    started = time.perf_counter()
    task = cast(ClassificationTask, task)
    # Image by image, its crops adjacent; the inputs of one crop are overwritten by the next.
    inputs = [
        task.inputs(crop).flatten(1).cpu().numpy().copy() for crop in task.crops(split.part(0, len(split)).images)
    ]
    images = np.stack(inputs, axis=1).reshape(-1, inputs[0].shape[1])
    with threadpool_limits(context.threads):
        cast(Decomposition, classifier.encoder).fit(images, run.network.seed)
    seconds = time.perf_counter() - started
    return {"train_s": seconds, "train_images_per_s": len(split) / seconds}
