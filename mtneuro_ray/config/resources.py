"""What a trial of a sweep occupies, and when it ends early."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtneuro_ray.config.base import Positive, Settings
from mtneuro_ray.errors import InputError


class AshaSettings(Settings):
    """When a candidate is stopped early."""

    grace_epochs: Positive = 1
    """Epochs that every candidate is trained for."""
    reduction_factor: Annotated[float, Field(gt=1.0, allow_inf_nan=False)] = 4.0
    """A candidate is stopped after `grace_epochs` times a power of this, where it is not among the best 1 in so many
    that have come as far."""


class ResourceSettings(Settings):
    """What one trial occupies, and when it ends early. None of it changes what a run computes, so it names none."""

    workers_per_trial: Positive = 1
    """Ray Train workers of a trial; each trains on its part of every batch."""
    cpus_per_worker: Positive = 1
    """CPU threads of a worker. Metrics are bit-identical for one value of it on one machine."""
    gpus_per_worker: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    """GPUs of a worker; below 1, trials share one."""
    packing: str | None = None
    """Table of `mtneuro-ray profile`, relative to this file: how many trials share a GPU or a machine's memory is
    chosen from what was measured. It has no influence on any number."""
    max_concurrent: Positive | None = None
    """Trials at once; as many as the cluster holds by default."""
    max_failures: Annotated[int, Field(ge=0)] = 2
    """Restarts of a trial whose process or machine was lost, or that could not write."""
    checkpoint_interval_s: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 30.0
    """Least seconds between two checkpoints of a run, and so what a lost machine costs, at most, beside an epoch."""
    scheduler: Literal["none", "asha"] = "none"
    """asha: Ray's asynchronous successive halving stops the candidates of an experiment that fall behind its others on
    the validation metric; seeds are never stopped. Which candidates are stopped depends on which come first, so it may
    differ from one sweep to the next, and with it what tpe proposes. A candidate that is trained to its end has the
    same numbers as without, and a stopped one is never selected; a sweep with "none" trains it to its end."""
    asha: AshaSettings = AshaSettings()

    @property
    def of_a_trial(self) -> dict[str, float]:
        """CPU and GPU of one trial with all its workers."""
        each = {"CPU": float(self.cpus_per_worker), "GPU": self.gpus_per_worker}
        return {kind: amount * self.workers_per_trial for kind, amount in each.items()}

    def check(self, where: str) -> None:
        """Check that trials with workers of their own can't wait for each other forever, and are not stopped."""
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
