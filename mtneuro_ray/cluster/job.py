"""What a trial is told. No torch: the driver makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mtneuro_ray.cluster.encoders import EncoderRef
from mtneuro_ray.cluster.packing import Ask
from mtneuro_ray.cluster.ray_data import SplitRefs
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.sweep.experiment import PlannedRun

# Keys of what a trial reports to Tune: the metric that selects its candidate, after which epoch, and the entry of that
# epoch in the run's history, which the report at the end of a run lacks.
VALUE = "value"
EPOCH = "epoch"
ENTRY = "entry"


@dataclass(frozen=True, slots=True)
class Job:
    """One run with what its trial needs.

    Attributes:
        planned: The run.
        splits: Its data; a candidate has no test split.
        encoder: Weights that its encoder starts from, where it starts from some.
        out: Folder of the run files.
        resources: What a trial occupies.
        ask: What this trial asks of Ray.
        can_stop: Whether the run may be stopped after an epoch.
        alone_after: Why the run is tried again by itself; None for the first try.
    """

    planned: PlannedRun
    splits: SplitRefs
    encoder: EncoderRef | None
    out: Folder
    resources: ResourceSettings
    ask: Ask
    can_stop: bool = False
    alone_after: str | None = None

    @property
    def placement(self) -> dict[str, Any]:
        """What a run's file tells of its place, where that is not what the settings say."""
        if self.resources.packing is None and self.alone_after is None:
            return {}
        asked = {"asked": self.ask.bundle}
        return asked if self.alone_after is None else {**asked, "alone_after": self.alone_after}

    @property
    def bundle(self) -> dict[str, float]:
        """Resources of the trial's own process."""
        if self.resources.workers_per_trial > 1:
            # The trial only waits; its workers have bundles of their own. Tune wants something to place it by, and a
            # fraction of a CPU would be missing for the last worker of a full machine.
            return {"memory": 1}
        return self.ask.bundle
