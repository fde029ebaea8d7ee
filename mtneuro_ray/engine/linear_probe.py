"""A linear layer on frozen features, trained on labels (paper, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtneuro_ray.config.owners import OptimizerSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import as_tensor
from mtneuro_ray.engine.checkpoint import History
from mtneuro_ray.engine.fit import Fit
from mtneuro_ray.losses.functions import build_loss, class_weights
from mtneuro_ray.methods.training.base import Setup, Steps, build_optimizer
from mtneuro_ray.rng import Indices
from mtneuro_ray.tasks.training.base import features_of

# A feature that deviates by less than the first, or than the second as a part of the largest deviation or of its own
# mean, is the same in all images but for rounding, as the last of N components of N images. Scaled to deviation 1 it
# would drown all others in images where it does differ.
_SMALLEST_DEVIATION, _SMALLEST_PART = 1e-6, 1e-5


class _Probe(Steps):
    """Training of one linear layer on features that lie in memory. Every worker repeats the whole of it."""

    def __init__(
        self, run: RunSettings, schedule: OptimizerSettings, head: nn.Linear, features: Tensor, labels: Tensor
    ) -> None:
        network = run.network
        self.context = WorkerContext(device=features.device)
        self.module, self.schedule, self.epochs = head, schedule, schedule.epochs
        self.optimizer = build_optimizer(schedule, head.parameters(), features.device)
        self.batch_size, self.seed, self.count = network.data.batch_size, network.seed, len(features)
        self._features, self._labels = features, labels
        counts = torch.bincount(labels, minlength=network.classes).tolist()
        self._loss = build_loss(network.loss.name, class_weights(network.loss.class_weights, counts))

    def step(self, indices: Indices, epoch: int, step: int, steps_per_epoch: int) -> dict[str, Tensor]:
        """One optimizer step; the summed loss of the batch."""
        index = torch.from_numpy(indices).to(self._features.device)
        self.optimizer.zero_grad(set_to_none=True)
        total = self._loss(self.module(self._features[index]), self._labels[index]).sum()
        (total / len(indices)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {"loss": total.detach()}


def train_probe(setup: Setup, epochs: int | None = None) -> History:
    """Train the last layer of the model on the frozen features of the training crops, and leave the rest as it is.

    With `probe_norm` "standard" each feature is shifted and scaled to mean 0 and deviation 1 over the split; the layer
    in the model takes the features as they are. `epochs` replaces those of the settings.
    """
    run, classifier = setup.run, setup.classifier
    schedule = run.network.optimizer
    if epochs is not None:
        schedule = schedule.model_copy(update={"epochs": epochs, "warmup_epochs": 0})
    crops = features_of(setup.task, classifier, setup.split, setup.context, setup.task.crops)
    features = crops.flatten(0, 1).to(setup.context.device)
    labels = as_tensor(setup.split.data.labels, features.device).repeat_interleave(crops.shape[1])
    deviation, mean = torch.std_mean(features, dim=0, correction=0)
    floor = torch.maximum(deviation.max(), mean.abs()).mul(_SMALLEST_PART).clamp_min(_SMALLEST_DEVIATION)
    # Divided by infinity such a feature, and its weight in the model, are 0.
    deviation = deviation.masked_fill(deviation <= floor, torch.inf)
    if getattr(run.network.method, "probe_norm", "standard") == "none":
        deviation, mean = torch.ones_like(deviation), torch.zeros_like(mean)
    torch.manual_seed(run.network.seed)
    head = nn.Linear(features.shape[1], run.network.classes).to(features.device)
    progress = Fit(_Probe(run, schedule, head, (features - mean) / deviation, labels)).run()
    with torch.no_grad():
        weight = head.weight / deviation
        classifier.head.weight.copy_(weight)
        classifier.head.bias.copy_(head.bias - weight @ mean)
    return progress.history
