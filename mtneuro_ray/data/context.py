"""What the loop knows about where it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mtneuro_ray.models.sync_norm import synchronise_norms
from mtneuro_ray.storage.folder import Folder

T = TypeVar("T")


def _ignore(epoch: Mapping[str, Any]) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True)
class WorkerContext:
    """One worker of a run. With more than one, a torch.distributed process group joins them.

    Attributes:
        rank: Of this worker.
        world_size: Workers of the run.
        device: Where this worker computes.
        threads: CPU threads of this worker; fixed, because it decides the order of sums.
        checkpoints: Folder that every worker of the run reaches, or None to keep no checkpoint.
        checkpoint_interval_s: Least time between two checkpoints.
        report: Called on every worker after each epoch with that epoch's history entry.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    threads: int = 1
    checkpoints: Folder | None = None
    checkpoint_interval_s: float = 30.0
    report: Callable[[Mapping[str, Any]], None] = _ignore

    @property
    def is_leader(self) -> bool:
        """Whether this worker writes files."""
        return self.rank == 0

    def share_of(self, count: int) -> tuple[int, int]:
        """This worker's half-open part of `count` items; the parts of all workers are adjacent and complete."""
        return count * self.rank // self.world_size, count * (self.rank + 1) // self.world_size

    def gather(self, value: T) -> list[T]:
        """The values of all workers, in the order of their ranks, on every worker."""
        if self.world_size == 1:
            return [value]
        gathered: list[Any] = [None] * self.world_size
        dist.all_gather_object(gathered, value)
        return gathered

    def distribute(self, model: nn.Module) -> nn.Module:
        """The model as it is trained: alone, or with gradients and batch norms shared by all workers."""
        if self.world_size == 1:
            return model
        model = synchronise_norms(model)
        devices = [self.device] if self.device.type == "cuda" else None
        # Buffers agree already: the norms see the whole batch. A broadcast would only cost time.
        return DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)
