"""What the trials of a stage share. No torch: the driver makes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mtneuro_ray.cluster.encoders import EncoderKey, EncoderRef, encoder_key, share_encoder
from mtneuro_ray.cluster.packing import Ask
from mtneuro_ray.cluster.ray_data import SplitRefs, share_task
from mtneuro_ray.config.loading import Pair
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ResourceSettings
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.sweep.search import Plan

# Of a report after an epoch: that epoch's history entry. The report at the end of a run has none.
ENTRY = "entry"


def key_of(point: Mapping[str, Any]) -> str:
    """The name of a point of the space, as Tune gives it to its trial."""
    return json.dumps(point, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the runs of a sweep have in common, read once for all of them.

    Attributes:
        splits: Task name -> its splits.
        encoders: `encoder_key` -> weights that encoders start from.
    """

    splits: dict[str, SplitRefs] = field(default_factory=dict)
    encoders: dict[EncoderKey | None, EncoderRef] = field(default_factory=dict)

    def add(self, store: CutoutStore, pair: Pair, network: NetworkSettings) -> None:
        """Share what a run of this pair, with this network, needs and none before it did.

        Raises:
            InputError: the data do not fit the settings, or the weights can't be had.
            SourceError: a volume can't be read.
        """
        key = encoder_key(network)
        # Before the volume is read: a download that fails should not come last.
        if key is not None and key not in self.encoders:
            self.encoders[key] = share_encoder(network)
        if pair.task.name not in self.splits:
            self.splits[pair.task.name] = share_task(store, pair.task, pair.task_file)


@dataclass(frozen=True, slots=True)
class Stage:
    """What every trial of a stage shares; Ray keeps one copy a node.

    Attributes:
        plans: `key_of` a point -> its run, in the order in which they are started.
        shared: Data and weights.
        out: Folder of the run files.
        resources: What a trial occupies.
        can_stop: Whether a run may be stopped after an epoch.
        asks: `key_of` a point -> what its trial asks of Ray.
        alone_after: Run id -> why a run is tried again by itself.
    """

    plans: dict[str, Plan]
    shared: Shared
    out: Folder
    resources: ResourceSettings
    can_stop: bool
    asks: dict[str, Ask]
    alone_after: dict[str, str] = field(default_factory=dict)

    def placement_of(self, plan: Plan) -> dict[str, Any]:
        """What a run's file tells of its place, where that is not what the settings say."""
        reason = self.alone_after.get(plan.run.run_id)
        if self.resources.packing is None and reason is None:
            return {}
        asked = {"asked": self.asks[key_of(plan.point)].bundle}
        return asked if reason is None else {**asked, "alone_after": reason}

    def splits_of(self, run: RunSettings) -> SplitRefs:
        """The data of a run. The test split never reaches a candidate."""
        refs = self.shared.splits[run.task.name]
        return {split: ref for split, ref in refs.items() if run.role == "final" or split != "test"}
