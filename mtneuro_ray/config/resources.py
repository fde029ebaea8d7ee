"""Resources of a trial of a sweep, and early stopping."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from mtneuro_ray.config.base import Positive, Settings
from mtneuro_ray.config.trackers import TrackerAddress
from mtneuro_ray.errors import InputError

_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(|k|M|G|T|Ki|Mi|Gi|Ti)B?")
_UNITS = {"": 1, **{unit: 1000**power for power, unit in enumerate("kMGT", 1)}}
_UNITS |= {f"{unit[0].upper()}i": 1024**power for power, unit in enumerate("kMGT", 1)}


def bytes_of(amount: int | str, where: str) -> int:
    """An amount of memory: a number of bytes, or text such as "2GB" (10^9 bytes each) or "2GiB" (2^30).

    Raises:
        InputError: it is neither, or 0; `where` names file and key.
    """
    found = _BYTES.fullmatch(str(amount).strip())
    count = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if not 0 < count < 2**63:
        raise InputError(f'{where}: is {amount!r}; accepted: a number of bytes, or text such as "2GB" or "512MiB"')
    return count


class AshaSettings(Settings):
    """Early stopping of candidates."""

    grace_epochs: Positive = 1
    """Epochs that every candidate is trained for."""
    reduction_factor: Annotated[float, Field(gt=1.0, allow_inf_nan=False)] = 4.0
    """At `grace_epochs` times each power of this factor, only the best 1 / factor of the candidates that got there go
    on."""


class ResourceSettings(Settings):
    """Resources of one trial, and early stopping. They change neither numbers nor id of a run."""

    workers_per_trial: Positive = 1
    """Ray Train workers of a trial; each trains on a part of every batch."""
    cpus_per_worker: Positive = 1
    """CPU threads of a worker. On one machine, metrics are bit-identical for the same number of threads."""
    gpus_per_worker: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    """GPUs of a worker; below 1, trials share one."""
    packing: str | None = None
    """Table of `mtneuro-ray profile`, relative to this file: its measurements decide how many trials share a GPU or the
    memory of a machine. It does not change the numbers of a run."""
    memory_budget: int | str | None = None
    """Bytes, or text such as "2GB", that a split may take in the memory of a machine; a larger one is read from the
    store while it trains. By default a third of the smallest object store of a node. It does not change the numbers of
    a run."""
    max_concurrent: Positive | None = None
    """Trials at once; by default as many as fit on the cluster."""
    max_failures: Annotated[int, Field(ge=0)] = 2
    """Restarts of a trial that lost its process or machine, or could not write."""
    checkpoint_interval_s: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 30.0
    """Shortest time between two checkpoints of a run, in seconds. A lost machine costs at most this and one epoch."""
    scheduler: Literal["none", "asha"] = "none"
    """asha: Ray's asynchronous successive halving stops candidates whose validation metric falls behind the others of
    their experiment; final runs are never stopped. Which candidates stop depends on the order in which they arrive, so
    it can differ between sweeps, as can the proposals of tpe. A candidate that is trained to its end has the same
    numbers as without asha; a stopped one is never selected, and a sweep with "none" trains it to its end."""
    asha: AshaSettings = AshaSettings()
    trackers: tuple[str, ...] = ()
    """Trackers that each run is added to when its file is written: `tensorboard`, `mlflow`, `wandb` or `aim`, with a
    place behind a colon, such as `mlflow:http://HOST:5000`; the default places are in OUT/trackers."""

    @property
    def of_a_trial(self) -> dict[str, float]:
        """CPUs and GPUs of one trial with all its workers."""
        each = {"CPU": float(self.cpus_per_worker), "GPU": self.gpus_per_worker}
        return {kind: amount * self.workers_per_trial for kind, amount in each.items()}

    @property
    def budget_bytes(self) -> int | None:
        """The memory budget in bytes; None for the default."""
        return None if self.memory_budget is None else bytes_of(self.memory_budget, "run.memory_budget")

    def check(self, where: str) -> None:
        """Check the memory budget, and that trials of several workers can't deadlock and are not packed or stopped."""
        if self.memory_budget is not None:
            bytes_of(self.memory_budget, f"{where}: run.memory_budget")
        for text in self.trackers:
            TrackerAddress.of(text, f"{where}: run.trackers")
        if self.workers_per_trial > 1 and self.max_concurrent is None:
            raise InputError(
                f"{where}: run.max_concurrent: is missing; workers_per_trial above 1 requires it, accepted: as many "
                "trials as the cluster has room for with all their workers"
            )
        if self.workers_per_trial > 1 and self.packing is not None:
            raise InputError(
                f"{where}: run.packing: is for trials of one worker, workers_per_trial is {self.workers_per_trial}; "
                "accepted: leave it out, or workers_per_trial = 1"
            )
        if self.workers_per_trial > 1 and self.scheduler == "asha":
            raise InputError(
                f"{where}: run.scheduler: 'asha' can't stop trials that have workers of their own; accepted: 'none', "
                "or workers_per_trial = 1"
            )
