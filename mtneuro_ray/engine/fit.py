"""Training by gradient steps: epochs in their order, checkpoints, validation, the weights that are kept, reports.

Random numbers depend on (seed, epoch, sample or step) alone, so a resumed run and a run with another number of workers
take the same steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mtneuro_ray.config.owners import EvaluationSettings
from mtneuro_ray.config.space import Mode
from mtneuro_ray.engine import checkpoint
from mtneuro_ray.engine.checkpoint import Progress
from mtneuro_ray.errors import TrainingError
from mtneuro_ray.methods.training.base import Steps
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.rng import Indices, epoch_order

# A loss that is larger than its first value by this factor has diverged, though it is still a number.
_ABSURD = 1e6

_Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True, slots=True)
class Validation:
    """Rule by which the weights of an epoch are judged: the metric `selection`, and whether larger values are better.

    `settings` say which weights are kept; `measure` gives the metrics of a module on the validation split; None where
    there is no such split.
    """

    settings: EvaluationSettings
    selection: str
    mode: Mode
    measure: Callable[[nn.Module], Metrics] | None


class Fit:
    """Runs the epochs of a training, from its last checkpoint on; without validation where there is no rule for it.

    Attributes:
        progress: State of the training.
        measured: Validation metrics of the weights that are kept; None where they were not measured here, since an
            earlier process did, there is no such split or an epoch's weights can't be judged.
    """

    def __init__(self, steps: Steps, validation: Validation | None = None) -> None:
        self.steps, self.context = steps, steps.context
        self.progress = Progress()
        self.measured: Metrics | None = None
        self._validation = validation if steps.signal is not None else None
        self._average: AveragedModel | None = None
        if steps.signal is not None and validation is not None and validation.settings.keep == "average":
            self._average = AveragedModel(steps.signal, multi_avg_fn=self._add_to_average, use_buffers=True)
        self._step = 0
        self._images, self._seconds = 0, 0.0

    @property
    def timings(self) -> dict[str, float]:
        """Seconds and images per second of this process; empty where it trained nothing."""
        if not self._seconds:
            return {}
        return {"train_s": self._seconds, "train_images_per_s": self._images / self._seconds}

    def run(self) -> Progress:
        """Train the epochs that are left, with a checkpoint now and then and a report after each.

        Raises:
            TrainingError: the loss is no longer a number, or has grown beyond all measure.
        """
        folder, steps, saved = self.context.checkpoints, self.steps, time.monotonic()
        self.progress = progress = checkpoint.resume(folder, steps.module, steps.optimizer, self.context.device)
        if self._average is not None and progress.kept_weights is not None:
            self._average.module.load_state_dict(progress.kept_weights)
            # The next step adds to the average, instead of starting one.
            self._average.n_averaged.fill_(1)
        while progress.epoch < steps.epochs:
            means = self._train_epoch()
            self._check_loss(means["loss"])
            progress.epoch += 1
            entry = {"epoch": progress.epoch, **{f"train/{name}": value for name, value in means.items()}}
            self.end_epoch(entry)
            progress.history.append(entry)
            due = time.monotonic() - saved >= self.context.checkpoint_interval_s
            if self.context.is_leader and folder is not None and due:
                checkpoint.save(folder, progress, steps.module, steps.optimizer)
                saved = time.monotonic()
            self.context.report(entry)
        return progress

    def _train_epoch(self) -> dict[str, float]:
        """One pass over the training samples; means over them."""
        started, steps, epoch = time.perf_counter(), self.steps, self.progress.epoch
        batches = global_batches(epoch_order(steps.count, steps.seed, epoch), steps.batch_size)
        totals: dict[str, Tensor] = {}
        first: Tensor | None = None
        steps.module.train()
        with steps.announced(batches, epoch * len(batches)):
            for number, indices in enumerate(batches):
                self._step = epoch * len(batches) + number
                rate = steps.rate(self._step, len(batches))
                for group in steps.optimizer.param_groups:
                    group["lr"] = rate
                sums = steps.step(indices, epoch, self._step, len(batches))
                first = sums["loss"] if first is None else first
                for name, value in sums.items():
                    totals[name] = totals[name] + value if name in totals else value.double()
                if self._average is not None and steps.signal is not None:
                    self._average.update_parameters(steps.signal)
        own = {name: float(total) for name, total in totals.items()}
        gathered = self.context.gather((own, 0.0 if first is None else float(first)))
        if self.progress.first_loss is None:
            self.progress.first_loss = math.fsum(loss for _, loss in gathered) / len(batches[0])
        self._images += steps.count
        self._seconds += time.perf_counter() - started
        return {name: math.fsum(part[name] for part, _ in gathered) / steps.count for name in own}

    def _check_loss(self, loss: float) -> None:
        first = self.progress.first_loss or 0.0
        if math.isfinite(loss) and loss <= _ABSURD * max(1.0, abs(first)):
            return
        rate = max(group["lr"] for group in self.steps.optimizer.param_groups)
        began = f", from {first:g} in the first step" if math.isfinite(loss) else ""
        raise TrainingError(
            f"diverged: the loss is {loss:g} in epoch {self.progress.epoch + 1} at learning rate {rate:g}{began}"
        )

    def end_epoch(self, entry: dict[str, Any]) -> None:
        """Validate, and keep the weights of the best epoch, or the average, where the settings say so."""
        metrics = self.validate()
        if self._average is not None:
            self.progress.kept_weights = self._average.module.state_dict()
        if metrics is None or self._validation is None:
            return
        entry |= {f"val/{name}": value for name, value in metrics.items() if isinstance(value, float)}
        if self._validation.settings.keep != "best" or self._keep_if_best(metrics):
            self.measured = metrics

    def validate(self) -> Metrics | None:
        """Validation metrics, of the average where it is kept; None where there is nothing to measure."""
        validation = self._validation
        if validation is None or validation.measure is None or self.steps.signal is None:
            return None
        return validation.measure(self.steps.signal if self._average is None else self._average.module)

    def _keep_if_best(self, metrics: Metrics) -> bool:
        assert self._validation is not None
        assert self.steps.signal is not None
        value, best = metrics[self._validation.selection], self.progress.best_value
        assert value is None or isinstance(value, float)
        value = math.nan if value is None else value
        if best is not None and not _is_better(value, best, self._validation.mode):
            return False
        self.progress.best_value = value
        state = self.steps.signal.state_dict()
        self.progress.kept_weights = {name: tensor.detach().clone() for name, tensor in state.items()}
        return True

    def _add_to_average(self, averages: _Tensors, tensors: _Tensors, _: Tensor | int) -> None:
        assert self._validation is not None
        # Faster at first: a slow average would keep much of the initial weights and of their norms' statistics, and
        # such a model predicts one class.
        decay = min(self._validation.settings.average_decay, (1 + self._step) / (10 + self._step))
        get_ema_multi_avg_fn(decay)(averages, tensors, self._step)  # type: ignore[no-untyped-call]


def global_batches(order: Indices, batch_size: int) -> list[Indices]:
    """Batches of an order; the last one holds the remainder, and a remainder of a single image joins the batch before.

    A batch norm after global pooling has one value of an image, so a batch of one would end the run.
    """
    cuts = list(range(batch_size, len(order), batch_size))
    if cuts and len(order) - cuts[-1] == 1 < batch_size:
        cuts.pop()
    return np.split(order, cuts)


def _is_better(value: float, best: float, mode: Mode) -> bool:
    # Any number is better than none, which a metric may give of an epoch.
    return math.isnan(best) or (value > best if mode == "max" else value < best)
