"""A task in a cutout store, both in memory and read from the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.samples import SplitArrays, load_splits
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.data.stored import StoredSplit, describe, joined, parts_of
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder

SHAPE = (24, 48, 64)
IDENTITIES = Identities(("image",), "labels")
_BUDGET = 40_000


def filled_store(folder: Path) -> CutoutStore:
    """Noise that is brighter where labels are higher, in shards that cut through images; labels have blocks of 4."""
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, (SHAPE[0] // 4, SHAPE[1] // 4, SHAPE[2] // 4)).astype(np.uint8)
    labels = labels.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    image = np.clip(60 * labels + random.normal(60, 15, SHAPE), 0, 255).astype(np.uint8)
    store = CutoutStore(Folder(folder))
    for roi in Roi.at((0, 0, 0), SHAPE).split((5, 20, 24)):
        store.write("image", roi, image[roi.slices_within(Roi.at((0, 0, 0), SHAPE))])
        store.write("labels", roi, labels[roi.slices_within(Roi.at((0, 0, 0), SHAPE))])
    return store


def resident(store: CutoutStore, task: TaskSettings, identities: Identities = IDENTITIES) -> dict[Split, SplitArrays]:
    return load_splits(store, identities, task)


def stored(
    store: CutoutStore, task: TaskSettings, budget: int = _BUDGET, identities: Identities = IDENTITIES
) -> dict[Split, StoredSplit]:
    found: dict[Split, StoredSplit] = {}
    for split in dict.fromkeys(cube.split for cube in task.cubes):
        parts = [describe(store, identities, task, split, *part) for part in parts_of(task, split, 3)]
        whole = joined(store, identities, task, split, budget, parts)
        assert isinstance(whole, StoredSplit)
        found[split] = whole
    return found
