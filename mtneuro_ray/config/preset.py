"""Presets: the same algorithm at another scale."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mtneuro_ray.config.base import Positive, Settings
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.space import SweepSpace
from mtneuro_ray.config.task import Cube, TaskSettings
from mtneuro_ray.errors import InputError

# Patches of an epoch in a preset that scales images.
_MOST_PATCHES = 64


class Preset(Settings):
    """Scale of runs and sweeps; None leaves a value as it is."""

    volume: str | None = None
    """Volume that replaces BossDB, unless another is given."""
    scales_images: bool = False
    """Whether images are cut to the size that the kind of task declares (`tasks.base.Scale`)."""
    encoder_name: str | None = None
    """Encoder of models with a library encoder; it starts from random weights."""
    epochs: Positive | None = None
    batch_size: Positive | None = None
    """Upper bound."""
    values_per_axis: Positive | None = None
    """Number of first values kept of each search axis; ranges stay."""
    trials: Positive | None = None
    """Upper bound of `trials` of a search."""
    seeds: Positive | None = None
    """Number of first seeds kept."""
    gpus_per_worker: Annotated[float, Field(ge=0.0)] | None = None

    def scale_task(self, task: TaskSettings, where: str) -> TaskSettings:
        """The task at this scale."""
        if not self.scales_images:
            return task
        scales = task.declaration.smoke
        scale = scales.get(2 if task.volume_z == 1 else 3) or next(iter(scales.values()))
        changes: dict[str, Any] = {"max_slices": min(scale.max_slices, task.max_slices or scale.max_slices)}
        if task.sampling.patches_per_epoch is not None:
            patches = min(_MOST_PATCHES, task.sampling.patches_per_epoch)
            changes["sampling"] = {**task.sampling.model_dump(mode="json"), "patches_per_epoch": patches}
        if max(task.tile_size) > scale.tile_size:
            tile = [min(side, scale.tile_size) for side in task.tile_size]
            changes["tile_size"] = tile
            if task.tile_stride is None:
                changes["cubes"] = [_centre(cube, tile) for cube in task.cubes]
        return task.replace(where, **changes)

    def scale_network(self, network: NetworkSettings, where: str) -> NetworkSettings:
        """The network's training at this scale."""
        changes: dict[str, Any] = {}
        for path, value in network.paths().items():
            owner, _, key = path.rpartition(".")
            if key == "epochs" and self.epochs is not None:
                changes[path] = epochs = min(self.epochs, value)
                for other, warm_up in network.paths().items():
                    if other.startswith(f"{owner}.") and other.endswith("warmup_epochs") and warm_up is not None:
                        changes[other] = min(warm_up, epochs - 1)
            elif key == "batch_size" and self.batch_size is not None and value is not None:
                changes[path] = min(self.batch_size, value)
        if self.encoder_name is not None and network.declaration.is_pretrained:
            changes |= {"model.encoder_name": self.encoder_name, "model.encoder_weights": None}
        return network.replace(where, **changes)

    def scale_space(self, space: SweepSpace, where: str) -> SweepSpace:
        """The sweep at this scale."""
        values = space.model_dump(mode="json")
        for experiment in values["experiments"]:
            experiment["seeds"] = experiment["seeds"][: self.seeds]
            search = experiment["search"]
            if self.trials is not None and search["trials"] is not None:
                search["trials"] = min(self.trials, search["trials"])
            axes = search["axes"]
            for axis, choices in axes.items():
                if isinstance(choices, list):
                    axes[axis] = choices[: self.values_per_axis]
        if self.gpus_per_worker is not None:
            values["run"]["gpus_per_worker"] = min(self.gpus_per_worker, values["run"]["gpus_per_worker"])
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
    "smoke": Preset(
        volume="phantom",
        scales_images=True,
        # The same family as the paper's efficientnet-b7, without a download.
        encoder_name="efficientnet-b0",
        epochs=2,
        batch_size=8,
        values_per_axis=2,
        trials=4,
        seeds=2,
        gpus_per_worker=0.0,
    ),
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
