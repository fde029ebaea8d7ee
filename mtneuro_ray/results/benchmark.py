"""Runs of the benchmark: the paper's names of their methods, departures from its settings, and their tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar

from mtneuro_ray.config.base import flattened
from mtneuro_ray.config.loading import load_network, load_task
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry
from mtneuro_ray.results import published
from mtneuro_ray.results.frame import Run, grouped
from mtneuro_ray.results.methods import as_option, differences
from mtneuro_ray.results.tables import Value

MIXUP = "method.mixup_probability"
_RATE, _BATCH, _CROPS = "optimizer.learning_rate", "data.batch_size", "evaluation.eval_crops"
# Settings that tell one architecture and one way to learn from another.
_KINDS = ("model.name", "model.dim", "method.name")
# Last parts of paths that may repeat a column of the summary -> that column.
_TRAINING = {
    "learning_rate": "learning_rate",
    "base_learning_rate": "learning_rate",
    "batch_size": "batch_size",
    "epochs": "epochs",
}


class Family(NamedTuple):
    """Settings that the paper shares among some of its tasks.

    Paths of settings that it searched, or that have no effect and are ignored, are no departure from the paper;
    `settings` has the paper's value of paths in which the packaged network differs.
    """

    epochs: int
    searched: Collection[str]
    settings: Mapping[str, Any] = {}
    ignored: Collection[str] = ()


FAMILIES = {
    **{f"task2_{dim}D_{classes}class": Family(20, (_RATE, _BATCH)) for dim in (2, 3) for classes in (3, 4)},
    **dict.fromkeys(
        ("task1", "task1_c2", "task1_c3", "task1_x4", "task1_x1"), Family(100, (MIXUP,), {_CROPS: "corners"})
    ),
    **dict.fromkeys(("task3", "task3_c3"), Family(100, (MIXUP,), ignored=(_CROPS,))),
}


@cache
def _packaged_task(name: str) -> Mapping[str, Any]:
    return load_task(name)[0].model_dump(mode="json")


@cache
def _packaged_network(name: str) -> Mapping[str, Any]:
    """Settings of a network of the package, by path, with its name in tables as `name`."""
    network = load_network(name)[0]
    return {**flattened(network.model_dump(mode="json")), "name": network.table_name}


def family_of(run: Run) -> Family | None:
    """The family of a run of one of the benchmark's tasks; None for any other run, whatever its task is called."""
    return _family(run.task_json)


@lru_cache(maxsize=1 << 12)
def _family(task_json: str) -> Family | None:
    task = json.loads(task_json)
    family = FAMILIES.get(task["name"])
    if family is None:
        return None
    packaged = _packaged_task(task["name"])
    return family if all(task[key] == packaged[key] for key in ("task", "classes", "encoder_task")) else None


def paper_method(run: Run) -> str | None:
    """The paper's name of a run's method; None if the paper has none for its task."""
    if family_of(run) is None:
        return None
    network = run.network
    methods = _methods_of_kind(str(run.task["name"]), _kind_of(network))
    for method, told in methods.items():
        if all(bool(network.get(path)) == is_set for path, is_set in told.items()):
            return method
    return None


def _kind_of(network: Mapping[str, Any]) -> str:
    return str([network.get(path) for path in _KINDS])


@cache
def _methods_of_kind(task: str, kind: str) -> Mapping[str, Mapping[str, bool]]:
    """The paper's methods of one architecture and way to learn -> whether each uses what tells them apart, as mixup."""
    alike = {
        method: packaged
        for method, name in published.networks(task).items()
        if _kind_of(packaged := _packaged_network(name)) == kind
    }
    paths = {path for own in alike.values() for path in own if len({str(p.get(path)) for p in alike.values()}) > 1}
    return {method: {path: bool(own.get(path)) for path in paths - {"name"}} for method, own in alike.items()}


def mixup_of(run: Run) -> float | None:
    """The probability of mixup; None for a run without it."""
    return run.network.get(MIXUP) or None


def trains_by_steps(run: Run) -> bool:
    """Whether the run's method has epochs, which PCA, NMF and a random encoder have not."""
    return _trains(run.network["method.name"])


@cache
def _trains(method: str) -> bool:
    try:
        return bool(registry("methods").find(method).by_steps)
    except InputError:
        return True


def changes_of(run: Run) -> str:
    """Departures of a run from the paper's method, except what the paper searched and what the scale tells."""
    family, method = family_of(run), paper_method(run)
    if family is None or method is None:
        return ""
    network, task = run.network, str(run.task["name"])
    packaged = {**_packaged_network(published.networks(task)[method]), **family.settings}
    epochs = "method.epochs" if "method.epochs" in network else "optimizer.epochs" if trains_by_steps(run) else None
    shown = {"name", "seed", "classes", epochs, *family.searched, *family.ignored}
    changes = [] if run.summary["model"] == packaged["name"] else [f"named {run.summary['model']}"]
    changes += [
        as_option(path, network) for path in network if path not in shown and network[path] != packaged.get(path)
    ]
    return ", ".join(changes)


class MethodNames:
    """Names of the methods of one table: the paper's if it has them, else the networks' own.

    Networks of one name with different settings are numbered, and explained in notes, except for settings whose paths
    are in `shown`, because the table shows them elsewhere.
    """

    def __init__(self, runs: Iterable[Run], shown: Collection[str] = ()) -> None:
        own = grouped((run for run in runs if paper_method(run) is None), lambda run: str(run.summary["model"]))
        self._paths = {model: differences(same, (*shown, *_in_columns(same))) for model, same in own.items()}
        self._numbers: dict[str, int] = {}

    def name(self, run: Run) -> Value:
        """The name of a run's method."""
        method, changes = paper_method(run), changes_of(run)
        if method is None:
            method = str(run.summary["model"])
            changes = ", ".join(as_option(path, run.network) for path in self._paths.get(method, ()))
        if not changes:
            return Value(method, method)
        number = self._numbers.setdefault(changes, len(self._numbers) + 1)
        return Value(f"{method} [{number}]", f"{method}, {changes}")

    @property
    def notes(self) -> list[str]:
        """Explanations of the numbers."""
        return [f"[{number}] {changes}" for changes, number in self._numbers.items()]


def _in_columns(runs: Sequence[Run]) -> list[str]:
    """Paths of the settings that a summary repeats: rate, batch and epochs of what trains the encoder."""
    return [
        path
        for path in {path for run in runs for path in run.network}
        if (column := _TRAINING.get(path.rpartition(".")[2]))
        and all(run.network.get(path) == run.summary[column] for run in runs)
    ]


def place_of(run: Run) -> tuple[int, str, str]:
    """Sort key: runs of the benchmark in the paper's order, methods that it lacks last; other runs keep their order."""
    if family_of(run) is None:
        return 0, "", ""
    methods, method = list(published.networks(str(run.task["name"]))), paper_method(run)
    if method is None:
        return len(methods), str(run.summary["model"]), ""
    return methods.index(method), "", changes_of(run)


Scale = TypeVar("Scale", bound=tuple[Any, ...])


class Part(NamedTuple):
    """Identities of the volumes of one table, and departures of epochs and images from the paper's, in words."""

    data: tuple[str, ...]
    epochs: tuple[str, ...] = ()
    images: tuple[str, ...] = ()

    def source(self, labels: Mapping[tuple[str, ...], str]) -> str:
        """Data and scale as titles have them; `labels` gives the name of each state of the data."""
        return ", ".join((labels[self.data], *self.epochs, *self.images))


def part_of(run: Run) -> Part:
    """The part that a run belongs to; only its data if its task is not the benchmark's."""
    family = family_of(run)
    if family is None:
        return Part(run.data)
    epochs = run.summary["epochs"]
    told = (f"{epochs} epochs",) if trains_by_steps(run) and epochs != family.epochs else ()
    return Part(run.data, told, _images(run.task_json, run.origin_json))


@lru_cache(maxsize=1 << 12)
def _images(task_json: str, origin_json: str) -> tuple[str, ...]:
    """Departures of the images from the paper's; for a readout also those of its encoder, if they differ."""
    changes, encoder = changed_images(json.loads(task_json)), json.loads(origin_json)["encoder_task"]
    trained_on = changes if encoder is None else changed_images(encoder)
    return tuple(
        changes if trained_on == changes else [*changes, f"encoders of {', '.join(trained_on) or 'all images'}"]
    )


def changed_images(task: Mapping[str, Any]) -> list[str]:
    """Departures of a task's images and boxes from the packaged task of its name, in words."""
    packaged, changes = _packaged_task(task["name"]), []
    if task["tile_size"] != packaged["tile_size"]:
        changes.append(f"{' x '.join(map(str, dict.fromkeys(task['tile_size'])))} px")
    if task["max_slices"] is not None:
        images = "slices" if task["volume_z"] == 1 else "sub-volumes"
        changes.append(f"at most {task['max_slices']} {images} a cube and split")
    changes.extend(
        f"{key} {task[key]}" for key in ("tile_stride", "volume_z", "downsample") if task[key] != packaged[key]
    )
    if _boxes(task) not in (_boxes(packaged), _boxes(packaged, task["tile_size"])):
        changes.append("other cubes")
    return changes


def _boxes(task: Mapping[str, Any], tile: Sequence[int] | None = None) -> set[tuple[Any, ...]]:
    """Region, split and ranges of each cube, cut in y and x to a tile at its centre, as presets do."""
    found = set()
    for cube in task["cubes"]:
        ranges = [cube["y"], cube["x"]]
        if tile is not None:
            starts = [start + (stop - start - side) // 2 for (start, stop), side in zip(ranges, tile, strict=True)]
            ranges = [[start, start + side] for start, side in zip(starts, tile, strict=True)]
        found.add((cube["region"], cube["split"], *map(tuple, (cube["z"], *ranges))))
    return found


def parts_of(runs: Iterable[Run], tasks: Collection[str]) -> list[tuple[Part, list[Run]]]:
    """The runs of some of the benchmark's tasks, by data and scale; see `by_scale`."""
    chosen = [run for run in runs if run.summary["task"] in tasks and family_of(run) is not None]
    return by_scale(chosen, part_of, lambda part: part._replace(epochs=()))


def by_scale(
    runs: Iterable[Run], scale_of: Callable[[Run], Scale], without_epochs: Callable[[Scale], Scale]
) -> list[tuple[Scale, list[Run]]]:
    """Runs by a scale of which epochs are a part, sorted.

    Runs of methods without epochs stand beside the networks of every number of epochs.
    """
    found: dict[Scale, list[Run]] = {}
    for run in sorted(runs, key=trains_by_steps, reverse=True):
        own = scale_of(run)
        homes = [] if trains_by_steps(run) else [scale for scale in found if without_epochs(scale) == own]
        for home in homes or [own]:
            found.setdefault(home, []).append(run)
    return sorted(found.items())
