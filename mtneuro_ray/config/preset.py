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


class TaskScale(Settings):
    """How the images of a kind of task are scaled."""

    tile_size: Positive | None = None
    """Side that larger tiles are reduced to, at the centre of their cubes."""
    max_slices: Positive | None = None
    """Images of each cube, evenly spread."""


class Preset(Settings):
    """How a run and a sweep are scaled; whatever is None stays as it is."""

    volume: str | None = None
    """Read instead of BossDB, where no other volume is named."""
    whole: TaskScale = TaskScale()
    """Of classification of images."""
    readouts: TaskScale = TaskScale()
    """Of readouts, which train nothing by steps."""
    planes: TaskScale = TaskScale()
    """Of segmentation in 2D."""
    volumes: TaskScale = TaskScale()
    """Of segmentation in 3D."""
    encoder_name: str | None = None
    """Encoder of the models that have one from the library; it starts from random weights."""
    epochs: Positive | None = None
    batch_size: Positive | None = None
    """Upper bound."""
    values_per_axis: Positive | None = None
    """First values of each search axis that are kept; ranges stay."""
    trials: Positive | None = None
    """Most candidates of a search that draws them."""
    seeds: Positive | None = None
    """First seeds that are kept."""
    gpus_per_worker: Annotated[float, Field(ge=0.0)] | None = None

    def scale_task(self, task: TaskSettings, where: str) -> TaskSettings:
        """The task at this scale."""
        scale = self._scale_of(task)
        changes: dict[str, Any] = {}
        if scale.max_slices is not None:
            changes["max_slices"] = min(scale.max_slices, task.max_slices or scale.max_slices)
        if scale.tile_size is not None and max(task.tile_size) > scale.tile_size:
            tile = [min(side, scale.tile_size) for side in task.tile_size]
            changes["tile_size"] = tile
            if task.tile_stride is None:
                changes["cubes"] = [_centre(cube, tile) for cube in task.cubes]
        return task.replace(where, **changes)

    def _scale_of(self, task: TaskSettings) -> TaskScale:
        if task.task == "segmentation":
            return self.planes if task.volume_z == 1 else self.volumes
        return self.readouts if task.task == "readout" else self.whole

    def scale_network(self, network: NetworkSettings, where: str) -> NetworkSettings:
        """The network's training at this scale."""
        changes: dict[str, Any] = {}
        if self.epochs is not None:
            changes["epochs"] = min(self.epochs, network.epochs)
            changes["warmup_epochs"] = min(network.warmup_epochs, changes["epochs"] - 1)
            if network.ssl is not None:
                ssl_epochs = min(self.epochs, network.ssl.epochs)
                changes["ssl.epochs"] = ssl_epochs
                changes["ssl.lr_warmup_epochs"] = min(network.ssl.lr_warmup_epochs, ssl_epochs - 1)
        if self.batch_size is not None:
            changes["batch_size"] = min(self.batch_size, network.batch_size)
            if network.ssl is not None:
                changes["ssl.batch_size"] = min(self.batch_size, network.ssl_batch_size)
        if self.encoder_name is not None and network.architecture.encoder:
            changes |= {"encoder_name": self.encoder_name, "encoder_weights": None}
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
        whole=TaskScale(tile_size=64, max_slices=32),
        readouts=TaskScale(tile_size=64, max_slices=64),
        # 128 pixels are the least that every model of Task 2 takes.
        planes=TaskScale(tile_size=128, max_slices=16),
        volumes=TaskScale(tile_size=32, max_slices=4),
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
