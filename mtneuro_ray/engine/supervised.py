"""Training with labels, in one process, in a trial or under several workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.augment import cut_crops, draw_crops, draw_mixup, draw_ops
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine.batches import Indices, ResidentSplit
from mtneuro_ray.engine.checkpoint import Progress
from mtneuro_ray.engine.context import WorkerContext
from mtneuro_ray.engine.evaluation import autocast, evaluate
from mtneuro_ray.engine.fitting import Fit
from mtneuro_ray.engine.optimizer import build_optimizer, learning_rate
from mtneuro_ray.methods.declared import SupervisedSettings
from mtneuro_ray.metrics.confusion import Metrics
from mtneuro_ray.models.dropout import DropoutKey, set_dropout_key
from mtneuro_ray.tasks.base import Batch, Task

_Tensors = tuple[Tensor, ...] | list[Tensor]


class SupervisedFit(Fit):
    """The training of a whole model on labels or masks.

    Attributes:
        measured: Validation metrics of the weights that are kept; None where they were not measured here, since an
            earlier process did or there is no such split.

    Args:
        run: What is trained.
        task: Its losses and metrics.
        module: The model, on the device.
        data: The splits.
        splits: The same on the device.
        context: Where this worker runs.
    """

    def __init__(
        self,
        run: RunSettings,
        task: Task,
        module: nn.Module,
        data: Mapping[Split, SplitArrays],
        splits: Mapping[Split, ResidentSplit],
        context: WorkerContext,
    ) -> None:
        network = run.network
        self.context = context
        self.module = module
        self.optimizer = build_optimizer(network, module.parameters(), context.device)
        self.epochs, self.batch_size = network.optimizer.epochs, network.data.batch_size
        self.seed = network.seed
        self.count = len(splits["train"])
        self.measured: Metrics | None = None
        self._network, self._task, self._data, self._splits = network, task, data, splits
        self._method = cast(SupervisedSettings, network.method)
        self._average: AveragedModel | None = None
        self._steps = 0
        if network.evaluation.keep == "average":
            self._average = AveragedModel(module, multi_avg_fn=self._add_to_average, use_buffers=True)
        model = context.distribute(module)
        self._model: nn.Module = torch.compile(model) if network.compute.compile else model  # type: ignore[assignment]

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """The network's schedule."""
        return learning_rate(self._network, step, steps_per_epoch)

    def step(self, indices: Indices, epoch: int, step: int, steps_per_epoch: int) -> dict[str, Tensor]:
        """One optimizer step on a global batch; the summed loss of this worker's part of it."""
        network, context = self._network, self.context
        start, stop = context.share_of(len(indices))
        batch = self._batch(indices[start:stop], epoch)
        mixup = draw_mixup(network.seed, step, len(indices), self._method.mixup_probability, self._method.mixup_alpha)
        if mixup is not None:
            # The partner may be another worker's image; every worker holds the whole split.
            partner = self._batch(indices[mixup.partners[start:stop]], epoch)
            batch = replace(batch, partner=partner, share=mixup.share)
        key = DropoutKey(network.seed, step, start, len(indices))
        set_dropout_key(self.module, key)
        # The stochastic depth of library encoders draws from torch's own generator. So its masks, alone, depend on how
        # many workers divide a batch; a run that is resumed draws the same ones.
        torch.manual_seed(key.generator(-1 - context.rank).initial_seed())
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(network, context.device):
            losses = self._task.losses(self._model, batch)
        total = losses.sum(dtype=torch.float32)
        # DistributedDataParallel averages over workers; the mean wanted is over the images of the global batch.
        (total * (context.world_size / len(indices))).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self._average is not None:
            self._steps = step
            self._average.update_parameters(self.module)
        return {"loss": total.detach()}

    def _add_to_average(self, averages: _Tensors, tensors: _Tensors, _: Tensor | int) -> None:
        # Faster at first: of a slow average much is the weights that the run started from, and their norms' statistics,
        # and such a model predicts one class.
        decay = min(self._network.evaluation.average_decay, (1 + self._steps) / (10 + self._steps))
        get_ema_multi_avg_fn(decay)(averages, tensors, self._steps)  # type: ignore[no-untyped-call]

    def _batch(self, indices: Indices, epoch: int) -> Batch:
        batch = self._splits["train"].gather(indices)
        if self._network.data.train_crops == "random":
            height, width = batch.images.shape[-2:]
            corners = draw_crops(self.seed, epoch, indices, (height, width))
            batch = replace(batch, images=cut_crops(batch.images, corners.unsqueeze(0)))
        if not self._network.data.augmentations:
            return batch
        return self._task.augment(batch, draw_ops(self.seed, epoch, indices).to(self.context.device))

    def resume(self) -> Progress:
        """Go back to the last checkpoint, if there is one."""
        progress = super().resume()
        if self._average is not None and progress.kept_weights is not None:
            self._average.module.load_state_dict(progress.kept_weights)
            # The next step adds to the average, instead of starting one.
            self._average.n_averaged.fill_(1)
        return progress

    def end_epoch(self, progress: Progress, entry: dict[str, Any]) -> None:
        """Validate, and keep the weights of the best epoch, or the average, where the network says so."""
        metrics = self.validate()
        if self._average is not None:
            progress.kept_weights = self._average.module.state_dict()
        if metrics is None:
            return
        entry |= {f"val/{name}": value for name, value in metrics.items() if isinstance(value, float)}
        if self._network.evaluation.keep != "best" or self._keep_if_best(progress, metrics):
            self.measured = metrics

    def validate(self) -> Metrics | None:
        """Metrics of the validation split, of the average where it is kept; None where there is no such split."""
        if "val" not in self._splits:
            return None
        module = self.module if self._average is None else self._average.module
        return evaluate(self._task, module, self._splits["val"], self._data["val"], self.context)

    def _keep_if_best(self, progress: Progress, metrics: Metrics) -> bool:
        value = metrics[self._task.default_metric]
        assert isinstance(value, float)
        if progress.best_value is not None and value <= progress.best_value:
            return False
        progress.best_value = value
        progress.kept_weights = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
        return True
