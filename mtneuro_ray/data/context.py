"""Rank, device, threads and checkpoint folder of one worker of a run."""

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
    """The default report."""


@dataclass(frozen=True)
class WorkerContext:
    """One worker of a run. With more than one, a torch.distributed process group joins them.

    Attributes:
        rank: Number of this worker, from 0.
        world_size: Number of workers of the run.
        device: Device of this worker.
        threads: CPU threads of this worker; fixed, because their number decides the order of sums.
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
        """Half-open range of this worker's items out of `count`; the workers' ranges are adjacent and in rank order."""
        return count * self.rank // self.world_size, count * (self.rank + 1) // self.world_size

    def gather(self, value: T) -> list[T]:
        """Values of all workers in rank order, on every worker."""
        if self.world_size == 1:
            return [value]
        gathered: list[Any] = [None] * self.world_size
        dist.all_gather_object(gathered, value)
        return gathered

    def distribute(self, model: nn.Module) -> nn.Module:
        """The model wrapped for training: gradients and batch norms are shared by all workers."""
        if self.world_size == 1:
            return model
        model = synchronise_norms(model)
        devices = [self.device] if self.device.type == "cuda" else None
        # No broadcast of buffers: they agree already, because the norms see the whole batch.
        return DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)
