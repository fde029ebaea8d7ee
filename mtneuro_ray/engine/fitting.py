"""One optimisation, of whatever kind: epochs in their order, checkpoints, reports.

All randomness is drawn from (seed, epoch, image or step), never from a stream that runs on, so a resumed run and a
run with another number of workers take the same steps.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from mtneuro_ray.engine import checkpoint
from mtneuro_ray.engine.batches import Indices, epoch_order, global_batches
from mtneuro_ray.engine.checkpoint import Progress
from mtneuro_ray.engine.context import WorkerContext
from mtneuro_ray.errors import TrainingError


class Fit(ABC):
    """What is optimised, and how one step of it goes.

    Attributes:
        context: Where this worker runs.
        module: Everything that a checkpoint has to hold besides the optimizer.
        optimizer: Its parameter groups get the step's learning rate.
        epochs: Of the whole run.
        batch_size: Images of one step, over all workers.
        count: Images of an epoch.
        seed: Decides their order.
        train_images: Images that were trained on in this process.
        train_seconds: How long that took.
    """

    context: WorkerContext
    module: nn.Module
    optimizer: torch.optim.Optimizer
    epochs: int
    batch_size: int
    count: int
    seed: int
    train_images: int = 0
    train_seconds: float = 0.0

    @abstractmethod
    def rate(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step, counted from the start of the run."""

    @abstractmethod
    def step(self, indices: Indices, epoch: int, step: int, steps_per_epoch: int) -> dict[str, Tensor]:
        """One optimizer step on a global batch.

        Returns:
            Sums over this worker's images, "loss" among them; their means over the epoch are reported.
        """

    def end_epoch(self, progress: Progress, entry: dict[str, Any]) -> None:  # noqa: B027 - most measure nothing
        """Add to an epoch's entry what is measured after it."""

    @property
    def timings(self) -> dict[str, float]:
        """Seconds and images per second of this process; empty where it trained nothing."""
        if not self.train_seconds:
            return {}
        return {"train_s": self.train_seconds, "train_images_per_s": self.train_images / self.train_seconds}

    def resume(self) -> Progress:
        """Go back to the last checkpoint, if there is one."""
        return checkpoint.resume(self.context.checkpoints, self.module, self.optimizer, self.context.device)

    def run(self, progress: Progress) -> None:
        """Train the epochs that are left, with a checkpoint now and then and a report after each.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        folder, saved = self.context.checkpoints, time.monotonic()
        while progress.epoch < self.epochs:
            means = self._train_epoch(progress.epoch)
            if not math.isfinite(means["loss"]):
                rate = max(group["lr"] for group in self.optimizer.param_groups)
                raise TrainingError(
                    f"diverged: the loss is {means['loss']} in epoch {progress.epoch + 1} at learning rate {rate:g}"
                )
            progress.epoch += 1
            entry = {"epoch": progress.epoch, **{f"train/{name}": value for name, value in means.items()}}
            self.end_epoch(progress, entry)
            progress.history.append(entry)
            due = time.monotonic() - saved >= self.context.checkpoint_interval_s
            if self.context.is_leader and folder is not None and due:
                checkpoint.save(folder, progress, self.module, self.optimizer)
                saved = time.monotonic()
            self.context.report(entry)

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training split; means over its images."""
        started = time.perf_counter()
        batches = global_batches(epoch_order(self.count, self.seed, epoch), self.batch_size)
        totals: dict[str, Tensor] = {}
        self.module.train()
        for number, indices in enumerate(batches):
            step = epoch * len(batches) + number
            rate = self.rate(step, len(batches))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            for name, value in self.step(indices, epoch, step, len(batches)).items():
                totals[name] = totals[name] + value if name in totals else value.double()
        own = {name: float(total) for name, total in totals.items()}
        gathered = self.context.gather(own)
        self.train_images += self.count
        self.train_seconds += time.perf_counter() - started
        return {name: math.fsum(part[name] for part in gathered) / self.count for name in own}
