"""Tune spaces: which settings are searched over which axes, and repeated over which seeds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field

from mtneuro_ray.config.base import Settings, read_toml, shortened
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.errors import InputError

Positive = Annotated[int, Field(ge=1)]
Scalar = bool | int | float | str
# Validation metrics that can select a cell, the default first.
METRICS = {
    "classification": ("val/accuracy", "val/balanced_accuracy", "val/f1_mean", "val/loss"),
    "segmentation": (
        "val/dataset/iou_mean",
        "val/dataset/f1_mean",
        "val/image/iou_mean",
        "val/image/f1_mean",
        "val/loss",
    ),
}
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class SearchSettings(Settings):
    """How the cells of one setting are chosen."""

    sampler: Literal["grid", "random"] = "grid"
    """grid: every combination of the axes. random: `trials` of them, drawn by `seed`."""
    trials: Positive | None = None
    """Cells that random draws; all of the grid where it has no more."""
    seed: Seed = 0
    """Of the sampler, and of the training of every cell."""
    axes: dict[str, Annotated[tuple[Scalar, ...], Field(min_length=1)]]

    @property
    def cells(self) -> list[dict[str, Scalar]]:
        """The combinations that are trained, in the order of the grid, whose last axis is the fastest."""
        grid = [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]
        if self.sampler == "grid" or self.trials is None or self.trials >= len(grid):
            return grid
        return [grid[index] for index in sorted(Random(self.seed).sample(range(len(grid)), self.trials))]

    def check(self, where: str) -> None:
        """Check the axes against the network's keys."""
        for axis, values in self.axes.items():
            accepted = sorted(set(NetworkSettings.model_fields) - {"seed", "name"})
            if axis not in accepted:
                raise InputError(f"{where}: search.axes.{axis}: unknown key; accepted: {', '.join(accepted)}")
            if len(set(values)) < len(values):
                raise InputError(f"{where}: search.axes.{axis}: a value stands twice; accepted: distinct values")
        if self.sampler == "grid" and self.trials is not None:
            raise InputError(f"{where}: search.trials: has no meaning for a grid; accepted: leave it out")


class ResourceSettings(Settings):
    """What one trial occupies. None of it changes what is computed, so none of it names a run."""

    workers_per_trial: Positive = 1
    cpus_per_worker: Positive = 1
    """CPU threads of a worker. Metrics are bit-identical for one value of it on one machine."""
    gpus_per_worker: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    max_concurrent: Positive | None = None
    """Trials at once; as many as the cluster holds by default."""
    max_failures: Annotated[int, Field(ge=0)] = 2
    """Restarts of a trial whose process or machine was lost."""

    @property
    def of_a_trial(self) -> dict[str, float]:
        """CPU and GPU of one trial with all its workers."""
        each = {"CPU": float(self.cpus_per_worker), "GPU": self.gpus_per_worker}
        return {kind: amount * self.workers_per_trial for kind, amount in each.items()}

    def check(self, where: str) -> None:
        """Check that trials with workers of their own can't wait for each other forever."""
        if self.workers_per_trial > 1 and self.max_concurrent is None:
            raise InputError(
                f"{where}: run.max_concurrent: is missing; workers_per_trial above 1 requires it, accepted: as many "
                "trials as the cluster has room for with all their workers"
            )


class SettingSpace(Settings):
    """One task with one network: its search, its seeds, its changes to the network."""

    task: str
    network: str
    metric: str | None = None
    """Validation metric that selects the cell; the task's own by default."""
    mode: Literal["max", "min"] = "max"
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    search: SearchSettings
    set: dict[str, Scalar] = Field(default_factory=dict)
    """Changes to the network's keys, for every cell."""


class SweepSpace(Settings):
    """A tune space file: any number of settings that run as one sweep."""

    name: str
    volume: str | None = None
    preset: str | None = None
    settings: Annotated[tuple[SettingSpace, ...], Field(min_length=1)]
    run: ResourceSettings = ResourceSettings()

    def check(self, where: str) -> None:
        """Check every setting's axes, and that no setting stands twice."""
        self.run.check(where)
        seen: set[tuple[str, str]] = set()
        for number, setting in enumerate(self.settings):
            setting.search.check(f"{where}: settings.{number}")
            if len(set(setting.seeds)) < len(setting.seeds):
                raise InputError(f"{where}: settings.{number}.seeds: a seed stands twice; accepted: distinct seeds")
            pair = (setting.task, setting.network)
            if pair in seen:
                raise InputError(f"{where}: settings.{number}: {pair[0]} with {pair[1]} stands twice; accepted: once")
            seen.add(pair)


# Keys that a file may give once, at its top, for all of its settings.
_SHARED = ("task", "network", "metric", "mode", "seeds", "search", "set")
_OWN = ("name", "volume", "preset", "run")


def load_space(path: Path) -> SweepSpace:
    """Read a tune space: one setting at the top of the file, several under `[[settings]]`, or `include`d files.

    Raises:
        InputError: one line that names the file, the key, what is wrong and what is accepted.
    """
    return SweepSpace.load(_expanded(path, ()), str(path))


def _expanded(path: Path, including: tuple[Path, ...]) -> dict[str, Any]:
    values = read_toml(path)
    if path.resolve() in including:
        raise InputError(f"{path}: include: includes itself; accepted: other files")
    shared = _located({key: values.pop(key) for key in _SHARED if key in values}, path.parent)
    own = values.pop("settings", None)
    if own is not None and not (isinstance(own, list) and all(isinstance(setting, dict) for setting in own)):
        raise InputError(f"{path}: settings: is {shortened(own)}; accepted: tables, each under [[settings]]")
    included = values.pop("include", [])
    if not isinstance(included, list) or not all(isinstance(name, str) for name in included):
        raise InputError(f"{path}: include: is {shortened(included)}; accepted: paths relative to this file, as a list")
    settings: list[Any] = []
    for name in included:
        inner = _expanded(path.parent / name, (*including, path.resolve()))
        _check_included(path, name, values, inner)
        settings.extend({**setting, **shared} for setting in inner["settings"])
    if own is not None:
        settings.extend({**shared, **_located(setting, path.parent)} for setting in own)
    elif not included:
        settings.append(shared)
    for key in values:
        if key not in _OWN:
            accepted = ", ".join(sorted((*_OWN, *_SHARED, "settings", "include")))
            raise InputError(f"{path}: {key}: unknown key; accepted: {accepted}")
    values.setdefault("name", path.stem)
    values["settings"] = settings
    return values


def _located(setting: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The setting with the paths of its files; they are relative to the file that names them, as all paths in files."""
    paths = {
        key: str(folder / setting[key])
        for key in ("task", "network")
        if isinstance(setting.get(key), str) and setting[key].endswith(".json")
    }
    return {**setting, **paths}


def _check_included(path: Path, name: str, outer: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
    """Only settings are taken from an included file; what else decides its numbers must be said again."""
    for key in ("volume", "preset"):
        if key in inner and inner[key] != outer.get(key):
            raise InputError(
                f"{path}: {key}: is {shortened(outer.get(key))}, the included {name} has {shortened(inner[key])}; "
                "accepted: the same in both"
            )
