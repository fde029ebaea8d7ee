"""Choice of training images: tiles on a grid, or patches drawn at random places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mtneuro_ray.config.base import Settings
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Range

if TYPE_CHECKING:
    from mtneuro_ray.config.task import TaskSettings

MOST_PATCHES = 1_000_000


class SamplingSettings(Settings):
    """Where the training images of a task lie."""

    kind: Literal["tiles", "patches"] = "tiles"
    """tiles: images on the grid of `tile_size` and `tile_stride`, in every split. patches: boxes of `volume_z` x
    `tile_size` voxels at random places of the training cubes, drawn anew in every epoch; the cubes of val and test are
    predicted whole, by blended windows, and each voxel counts once."""
    patches_per_epoch: Annotated[int, Field(ge=1, le=MOST_PATCHES)] | None = None
    """Number of patches of an epoch; required by patches."""
    balance: Literal["none", "class", "region"] = "none"
    """Every patch holds a voxel that counts. It is drawn from all of them (none), or from those of a class or region
    that is drawn first, each with the same probability."""

    @property
    def is_patches(self) -> bool:
        """Whether training images are patches."""
        return self.kind == "patches"

    def starts(self, span: Range, size: int, step: int) -> Sequence[int]:
        """First voxels along one axis of the images of a cube; for patches they cover it, the last moved inwards."""
        every = range(span[0], span[1] - size + 1, step)
        return [*every, span[1] - size] if self.is_patches and every and every[-1] + size < span[1] else every

    def check_task(self, task: TaskSettings, where: str) -> None:
        """Check that a task can draw its images so."""
        self.check(where)
        if not self.is_patches:
            return
        if task.declaration.labels != "voxel":
            raise InputError(
                f"{where}: sampling.kind: patches need a class per voxel, which {task.task!r} has not; accepted: tiles"
            )
        for key, given in (("tile_stride", task.tile_stride is not None), ("downsample", task.downsample > 1)):
            if given:
                raise InputError(f"{where}: {key}: is not for sampling by patches; accepted: leave it out")

    def check(self, where: str) -> None:
        """Check that the keys of patches come with patches."""
        if self.kind == "patches" and self.patches_per_epoch is None:
            raise InputError(f"{where}: sampling.patches_per_epoch: is missing; accepted: 1 to {MOST_PATCHES}")
        if self.kind == "tiles" and (self.patches_per_epoch is not None or self.balance != "none"):
            raise InputError(f"{where}: sampling: has keys of patches; accepted: 'kind': 'patches' with them")
