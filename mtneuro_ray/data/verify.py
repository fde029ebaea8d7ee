"""A check of stored voxels against their volume that no checksum can do."""

from __future__ import annotations

import numpy as np

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.ingest import Volumes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import SourceError
from mtneuro_ray.roi import Roi

# Number of boxes of a volume that `verify` reads, and their largest shape z, y, x: no whole number of cutouts.
VERIFIED_BOXES = 8
VERIFIED_SHAPE = (24, 200, 200)


def verify(
    store: CutoutStore, task: TaskSettings, volumes: Volumes, num_boxes: int = VERIFIED_BOXES, seed: int | None = None
) -> int:
    """Read random boxes of each volume again, other boxes than the ingest's, and compare them with the store.

    This finds what no checksum can: wrong voxels in an answer of the right size, and a remote volume that changed.

    Args:
        store: Cutouts of the whole task.
        task: The task that was ingested.
        volumes: Its volumes.
        num_boxes: Number of boxes of each volume.
        seed: Seed of the choice of boxes; a new one at every call by default.

    Returns:
        The number of voxels read again.

    Raises:
        SourceError: voxels differ, or a volume can't be read.
        StoreError: voxels are not stored.
    """
    random = np.random.default_rng(seed)
    num_voxels = 0
    for source, needed in volumes.needed(task):
        for _ in range(num_boxes):
            outer = needed[random.integers(len(needed))]
            most = [min(side, limit) for side, limit in zip(outer.shape, VERIFIED_SHAPE, strict=True)]
            sides = [int(random.integers((side + 1) // 2, side + 1)) for side in most]
            origin = [
                int(random.integers(start, stop - side + 1))
                for (start, stop), side in zip(outer.ranges, sides, strict=True)
            ]
            box = Roi.at(origin, sides)
            again, stored = source.read(box), store.read(source.identity, [box])[0]
            # NaN is unequal to itself.
            same = (again == stored) | ((again != again) & (stored != stored))
            differing = again.size - int(np.count_nonzero(same))
            if differing:
                raise SourceError(
                    f"{source.uri}: box {box}: {differing} of {box.num_voxels} voxels differ from those in "
                    f"{store.folder}; the volume changed or answered wrongly: ingest into a new store and verify it"
                )
            num_voxels += box.num_voxels
    return num_voxels
