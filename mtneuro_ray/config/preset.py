"""Presets: the same algorithm at another scale."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mtneuro_ray.config.base import Settings
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.space import SweepSpace
from mtneuro_ray.config.task import Cube, TaskSettings
from mtneuro_ray.errors import InputError

Positive = Annotated[int, Field(ge=1)]


class Preset(Settings):
    """How a run and a sweep are scaled; whatever is None stays as it is."""

    epochs: Positive | None = None
    batch_size: Positive | None = None
    """Upper bound."""
    tile_size: Positive | None = None
    """Side that larger tiles are reduced to, at the centre of their cubes."""
    max_slices: Positive | None = None
    """Slices of each cube, evenly spread."""
    values_per_axis: Positive | None = None
    """First values of each search axis that are kept."""
    seeds: Positive | None = None
    """First seeds that are kept."""

    def scale_task(self, task: TaskSettings, where: str) -> TaskSettings:
        """The task at this scale."""
        changes: dict[str, Any] = {}
        if self.max_slices is not None:
            changes["max_slices"] = min(self.max_slices, task.max_slices or self.max_slices)
        if self.tile_size is not None and max(task.tile_size) > self.tile_size:
            tile = [min(side, self.tile_size) for side in task.tile_size]
            changes["tile_size"] = tile
            if task.tile_stride is None:
                changes["cubes"] = [_centre(cube, tile) for cube in task.cubes]
        return task.replace(where, **changes)

    def scale_network(self, network: NetworkSettings, where: str) -> NetworkSettings:
        """The network's training at this scale."""
        changes: dict[str, Any] = {}
        if self.epochs is not None:
            changes["epochs"] = min(self.epochs, network.epochs)
            changes["warmup_epochs"] = min(network.warmup_epochs, changes["epochs"] - 1)
        if self.batch_size is not None:
            changes["batch_size"] = min(self.batch_size, network.batch_size)
        return network.replace(where, **changes)

    def scale_space(self, space: SweepSpace, where: str) -> SweepSpace:
        """The sweep at this scale."""
        values = space.model_dump(mode="json")
        for setting in values["settings"]:
            setting["seeds"] = setting["seeds"][: self.seeds]
            axes = setting["search"]["axes"]
            for axis in axes:
                axes[axis] = axes[axis][: self.values_per_axis]
        return SweepSpace.load(values, where)


def _centre(cube: Cube, tile: list[int]) -> dict[str, Any]:
    """The cube cut to a tile's size around its centre, in y and x."""
    values = cube.model_dump(mode="json")
    for axis, side in zip("yx", tile, strict=True):
        start, stop = values[axis]
        first = start + (stop - start - side) // 2
        values[axis] = [first, first + side]
    return values


PRESETS = {
    "smoke": Preset(epochs=2, batch_size=8, tile_size=64, max_slices=64, values_per_axis=2, seeds=2),
    "paper": Preset(),
}


def preset_named(name: str, where: str) -> Preset:
    """The preset of that name.

    Raises:
        InputError: there is none.
    """
    if name not in PRESETS:
        raise InputError(f"{where}: {name!r} is no preset; accepted: {', '.join(PRESETS)}")
    return PRESETS[name]
