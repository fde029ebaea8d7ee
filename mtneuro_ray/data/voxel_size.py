"""The voxel size of a task's volume: the task's, else that of a known volume, else what was kept of its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.volumes import Sizes, sides_um

# prasad2020 and the phantom, which lies in its frame; the public task files do not name the size.
_PRASAD_UM = 1.17
_PRASAD = ("bossdb://prasad/", "phantom:")


def voxel_size_um(task: TaskSettings, about: Mapping[str, Any] | None = None) -> float | Sizes | None:
    """Sides of the voxels of a task's cubes in micrometers; None where nothing says.

    Args:
        task: The task.
        about: What the metadata of its volume said (`CutoutStore.about`).
    """
    known = _PRASAD_UM if task.image_addresses[0].startswith(_PRASAD) else None
    return task.stated_voxel_size_um or known or from_json((about or {}).get("voxel_size_um"))


def before_resampling_um(task: TaskSettings) -> Sizes | None:
    """Sides of the voxels of a task's volume before they are resampled; None where only metadata may say."""
    size = voxel_size_um(task.model_copy(update={"target_voxel_size_um": None}))
    return None if size is None else sides_um(size)


def from_json(value: Any) -> float | Sizes | None:
    """A voxel size from JSON, where three numbers are a list."""
    if not isinstance(value, list):
        return None if value is None else float(value)
    z, y, x = map(float, value)
    return z, y, x
