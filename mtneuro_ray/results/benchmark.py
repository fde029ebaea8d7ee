"""Runs of the benchmark: the paper's names of their methods, departures from its settings, and their tables."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, NamedTuple

from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry
from mtneuro_ray.results import published
from mtneuro_ray.results.departures import changed_images, packaged_network, packaged_task
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.methods import as_option, differences
from mtneuro_ray.results.tables import Value

MIXUP = "method.mixup_probability"
_RATE, _BATCH, _CROPS = "optimizer.learning_rate", "data.batch_size", "evaluation.eval_crops"
# What tells one architecture and one way to learn from another.
_KINDS = ("model.name", "model.dim", "method.name")
# Columns of a summary -> last parts of the paths that may hold the same.
_TRAINING = {
    "learning_rate": "learning_rate",
    "base_learning_rate": "learning_rate",
    "batch_size": "batch_size",
    "epochs": "epochs",
}


@dataclass(frozen=True, slots=True)
class Family:
    """What the paper did alike in some of its tasks.

    Attributes:
        epochs: Of every training.
        searched: Paths of the settings that the paper searched, which are no departure from it.
        settings: Path -> value, where the paper's is not the packaged network's.
        ignored: Paths of settings without effect.
    """

    epochs: int
    searched: Collection[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    ignored: Collection[str] = ()


_MICROSTRUCTURE = Family(20, (_RATE, _BATCH))
_REGIONS = Family(100, (MIXUP,), {_CROPS: "corners"})
_ATTRIBUTES = Family(100, (MIXUP,), {}, (_CROPS,))
FAMILIES = {
    **{f"task2_{dim}D_{classes}class": _MICROSTRUCTURE for dim in (2, 3) for classes in (3, 4)},
    **dict.fromkeys(("task1", "task1_c2", "task1_c3", "task1_x4", "task1_x1"), _REGIONS),
    **dict.fromkeys(("task3", "task3_c3"), _ATTRIBUTES),
}


def family_of(run: Run) -> Family | None:
    """The family of a run of one of the benchmark's tasks; None for any other run, whatever its task is called."""
    return _family(run.task_json)


@lru_cache(maxsize=1 << 12)
def _family(task_json: str) -> Family | None:
    task = json.loads(task_json)
    family = FAMILIES.get(task["name"])
    if family is None:
        return None
    packaged = packaged_task(task["name"])
    return family if all(task[key] == packaged[key] for key in ("task", "classes", "encoder_task")) else None


def paper_method(run: Run) -> str | None:
    """The paper's name of a run's method; None where the paper has none for its task."""
    return None if family_of(run) is None else _paper_method(str(run.task["name"]), run.network_json)


@lru_cache(maxsize=1 << 14)
def _paper_method(task: str, network_json: str) -> str | None:
    network = json.loads(network_json)
    named = {method: packaged_network(name) for method, name in published.networks(task).items()}
    alike = {
        method: packaged
        for method, packaged in named.items()
        if all(network.get(path) == packaged.get(path) for path in _KINDS)
    }
    # Methods of one kind are told apart by what one of them uses and another does not, such as mixup.
    paths = {
        path for packaged in alike.values() for path in packaged if len({str(p.get(path)) for p in alike.values()}) > 1
    } - {"name"}
    for method, packaged in alike.items():
        if all(bool(network.get(path)) == bool(packaged.get(path)) for path in paths):
            return method
    return None


def mixup_of(run: Run) -> float | None:
    """The probability of mixup, of a run that has any."""
    return run.network.get(MIXUP) or None


def trains_by_steps(run: Run) -> bool:
    """Whether the run's method has epochs, which PCA and NMF have not."""
    return _trains(run.network["method.name"])


@cache
def _trains(method: str) -> bool:
    try:
        return "gradients" in registry("methods").find(method).needs
    except InputError:
        return True


def changes_of(run: Run) -> str:
    """Departures of a run from the paper's method, but for what the paper searched and what the scale tells."""
    family, method = family_of(run), paper_method(run)
    if family is None or method is None:
        return ""
    network, task = run.network, str(run.task["name"])
    packaged = {**packaged_network(published.networks(task)[method]), **family.settings}
    epochs = (
        {"method.epochs"} if "method.epochs" in network else {"optimizer.epochs"} if trains_by_steps(run) else set()
    )
    shown = {"name", "seed", "classes", *family.searched, *family.ignored, *epochs}
    changes = [] if run.summary["model"] == packaged["name"] else [f"named {run.summary['model']}"]
    changes += [
        as_option(path, network) for path in network if path not in shown and network[path] != packaged.get(path)
    ]
    return ", ".join(changes)


class MethodNames:
    """Names of the methods of one table: the paper's where it has them, else the networks' own.

    Networks of one name that are set in different ways are numbered, and explained in notes.

    Args:
        runs: All runs of the table.
        shown: Paths of settings that the table shows in another place.
    """

    def __init__(self, runs: Iterable[Run], shown: Collection[str] = ()) -> None:
        own: dict[str, list[Run]] = {}
        for run in runs:
            if paper_method(run) is None:
                own.setdefault(run.summary["model"], []).append(run)
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
        """What the numbers stand for."""
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
    """Sorts runs of the benchmark as the paper does; methods that it has not come last, all others stay."""
    if family_of(run) is None:
        return 0, "", ""
    methods, method = list(published.networks(str(run.task["name"]))), paper_method(run)
    if method is None:
        return len(methods), str(run.summary["model"]), ""
    return methods.index(method), "", changes_of(run)


class Part(NamedTuple):
    """What the runs of one of the paper's tables have in common.

    Attributes:
        data: Identities of the volumes.
        epochs: The epochs, where they are others than the paper's.
        images: Where the images leave the paper's.
    """

    data: tuple[str, ...]
    epochs: tuple[str, ...]
    images: tuple[str, ...]

    def source(self, labels: Mapping[tuple[str, ...], str]) -> str:
        """Of which data, so that nobody takes it for the mouse brain, and at which scale.

        Args:
            labels: Identities -> name of the data.
        """
        return ", ".join((labels[self.data], *self.epochs, *self.images))


def part_of(run: Run) -> Part:
    """The part that a run belongs to; of a task that is not the benchmark's only its data."""
    family = family_of(run)
    if family is None:
        return Part(run.data, (), ())
    epochs = run.summary["epochs"]
    told = (f"{epochs} epochs",) if trains_by_steps(run) and epochs != family.epochs else ()
    return Part(run.data, told, _images(run.task_json, run.origin_json))


@lru_cache(maxsize=1 << 12)
def _images(task_json: str, origin_json: str) -> tuple[str, ...]:
    """Where the images leave the paper's; of a readout also where those of its encoder do, if they do elsewhere."""
    changes, encoder = changed_images(json.loads(task_json)), json.loads(origin_json)["encoder_task"]
    trained_on = changes if encoder is None else changed_images(encoder)
    return tuple(
        changes if trained_on == changes else [*changes, f"encoders of {', '.join(trained_on) or 'all images'}"]
    )


def parts_of(runs: Iterable[Run], tasks: Collection[str]) -> list[tuple[Part, list[Run]]]:
    """The runs of some of the benchmark's tasks, by data and scale.

    Those of methods without epochs stand beside the networks of every number of epochs.
    """
    parts: dict[Part, list[Run]] = {}
    chosen = [run for run in runs if run.summary["task"] in tasks and family_of(run) is not None]
    for run in sorted(chosen, key=trains_by_steps, reverse=True):
        part = part_of(run)
        homes = [other for other in parts if (other.data, other.images) == (part.data, part.images)]
        for home in homes if not trains_by_steps(run) and homes else [part]:
            parts.setdefault(home, []).append(run)
    return sorted(parts.items())
