"""Departures of our runs from the paper, told under its tables, each from the settings of the runs that are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import product
from typing import Any, NamedTuple

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.sampling import count_samples
from mtneuro_ray.errors import InputError
from mtneuro_ray.models.encoders import FEATURES, RESNET18
from mtneuro_ray.registry import registry
from mtneuro_ray.results.benchmark import mixup_of, paper_method
from mtneuro_ray.results.frame import Run, grouped

# The paper's settings (sections 3.3.1, 3.3.2 and 4.1, Appendices 3.2.4, 4.2.2 and 4.2.4).
_IMAGES = {
    **dict.fromkeys(("task1", "task1_c2", "task1_x4", "task1_x1"), 1200),
    "task1_c3": 2640,
    **{f"task2_{dim}D_3class": 1200 for dim in (2, 3)},
    **{f"task2_{dim}D_4class": 900 for dim in (2, 3)},
}
_FEATURES, _RATE, _BATCH, _WEIGHT_DECAY, _MIXUP = 256, 0.03, 256, 0.3, (0.01, 0.1, 0.3, 0.5, 0.7)
_TARGET = 0.996
_ENCODER = ("efficientnet-b7", "imagenet")
_NO_ENCODER = ("VNetLight", "HighResNet")
_GRID = {"learning_rate": (0.001, 0.005, 0.01, 0.05, 0.1), "batch_size": (2, 4, 6, 8, 10)}
# Numbers that a note lists.
_MOST_LISTED = 8


class Fact(NamedTuple):
    """One departure: its subject, our value with the paper's, and whether it is the task's, not the method's."""

    subject: str
    text: str
    is_of_task: bool = False


# Task, its heading, name of the method, and the seeds.
Shown = Sequence[tuple[str, str, str, Sequence[Run]]]
# Model and task -> the candidates of their search.
Searched = Mapping[tuple[str, str], Sequence[Run]]


def departures(shown: Shown, candidates: Sequence[Run]) -> list[str]:
    """A line for each setting in which runs of a table depart from the paper, with the methods or tasks that do.

    Args:
        shown: The groups of runs in the table.
        candidates: The runs of all searches.
    """
    searched: Searched = grouped(candidates, lambda run: (run.summary["model"], run.summary["task"]))
    found: dict[str, dict[str, dict[str, None]]] = {}
    every: tuple[dict[str, None], dict[str, None]] = ({}, {})
    for task, heading, name, seeds in shown:
        every[0][name], every[1][heading] = None, None
        for subject, text, is_of_task in _facts(task, seeds[0], searched):
            found.setdefault(subject, {}).setdefault(text, {})[heading if is_of_task else name] = None
    lines = []
    for subject, texts in found.items():
        parts = []
        for text, names in texts.items():
            is_all = any(names.keys() == known.keys() for known in every)
            parts.append(text if is_all else f"{text} ({', '.join(names)})")
        lines.append(f"{subject}: {'; '.join(parts)}.")
    return lines


def _facts(task: str, run: Run, searched: Searched) -> Iterator[Fact]:
    encoder_task = _encoder_task(run)
    yield from _of_images(run.task_json if encoder_task is None else json.dumps(encoder_task))
    if task.startswith("task2"):
        yield from _of_encoder(run)
        yield from _of_search(run, searched)
        return
    yield from _of_neighbours(run.task_json)
    yield from _of_held_out(run)
    yield from _of_features(run)
    yield from _of_training(run)
    yield from _of_mixup(run, searched)


def _encoder_task(run: Run) -> Any:
    return json.loads(run.origin_json)["encoder_task"]


@lru_cache(maxsize=1 << 10)
def _task(task_json: str) -> TaskSettings:
    return TaskSettings.load(json.loads(task_json), "run")


@lru_cache(maxsize=1 << 10)
def _of_images(task_json: str) -> tuple[Fact, ...]:
    task = _task(task_json)
    slices, paper = count_samples(task, "train") * task.volume_z, _IMAGES.get(task.name)
    return (Fact("Training slices", f"{slices}, the paper's {paper}", True),) if slices != paper and paper else ()


@lru_cache(maxsize=1 << 10)
def _of_neighbours(task_json: str) -> tuple[Fact, ...]:
    task = _task(task_json)
    if task.declaration.labels != "image":
        return ()
    touching = {
        test.region
        for train, test in product(task.cubes, task.cubes)
        if (train.split, test.split) == ("train", "test")
        and all(a[0] <= b[1] and b[0] <= a[1] for a, b in zip(train.roi.ranges, test.roi.ranges, strict=True))
    }
    names = ", ".join(region for region in dict.fromkeys(cube.region for cube in task.cubes) if region in touching)
    return (Fact("Test cubes that touch training cubes, as the paper's do", names, True),) if names else ()


def _of_held_out(run: Run) -> Iterator[Fact]:
    if _encoder_task(run) is None:
        return
    cubes = run.task["cubes"]
    gaps = {
        test["z"][0] - train["z"][1]
        for train, test in product(cubes, cubes)
        if (train["split"], test["split"]) == ("train", "test") and all(train[k] == test[k] for k in ("region", *"yx"))
    }
    told = " and ".join(str(gap) for gap in sorted(gaps)) or "unknown"
    yield Fact("Held out", f"{told} slices between the train and the test slices are in neither", True)


def _of_features(run: Run) -> Iterator[Fact]:
    network = run.network
    count = network.get("model.components") or network.get("model.latent_dim")
    if count is None and network["model.name"] == RESNET18.name:
        count = FEATURES
    if count is not None and count != _FEATURES:
        yield Fact("Features", f"{count}, the paper's {_FEATURES}")


def _of_training(run: Run) -> Iterator[Fact]:
    network, rate, batch = run.network, run.summary["learning_rate"], run.summary["batch_size"]
    if rate != _RATE:
        yield Fact("Learning rate", f"{rate:g}, the paper's {_RATE}")
    if batch != _BATCH:
        yield Fact("Batch size", f"{batch}, the paper's {_BATCH}")
    momentum = network.get("method.base_momentum", _TARGET)
    if momentum != _TARGET:
        yield Fact("Target's momentum", f"{momentum or 'by the number of steps'}, the paper's {_TARGET}")
    decay = network["optimizer.weight_decay"]
    if "method.probe_norm" not in network:
        if decay != _WEIGHT_DECAY:
            yield Fact("Weight decay", f"{decay:g}, the paper's {_WEIGHT_DECAY}")
        return
    for departure in _declared(network["method.name"]):
        yield Fact("Loss", departure)
    added = {
        f"momentum {network['optimizer.momentum']:g}": network["optimizer.momentum"],
        f"weight decay {decay:g}": decay,
        "standardised features": network["method.probe_norm"] == "standard",
    }
    if any(added.values()):
        told = ", ".join(name for name, is_set in added.items() if is_set)
        yield Fact("Linear layer", f"{told}, of which the paper says nothing")


@cache
def _declared(method: str) -> Sequence[str]:
    try:
        found: Sequence[str] = registry("methods").find(method).departures
        return found
    except InputError:
        return ()


def _of_mixup(run: Run, searched: Searched) -> Iterator[Fact]:
    if mixup_of(run) is None:
        return
    known = [other for (model, _), own in searched.items() if model == run.summary["model"] for other in own]
    alike = [other for other in known if mixup_of(other) is not None and other.data == run.data]
    tried = {str(other.summary["task"]): None for other in alike}
    own = f"the paper's is the best of {_listed(_MIXUP)} for each task"
    if not tried:
        yield Fact("Probability of mixup", f"{mixup_of(run):g}, not searched; {own}")
        return
    values = _listed([value for other in alike if (value := mixup_of(other)) is not None])
    yield Fact("Probability of mixup", f"the best of {values} on the validation split of {', '.join(tried)}; {own}")


def _of_encoder(run: Run) -> Iterator[Fact]:
    network = run.network
    if paper_method(run) is None or network["model.name"] in _NO_ENCODER:
        return
    theirs = "{} with {} weights".format(*_ENCODER)
    if "model.encoder_name" not in network:
        yield Fact("Encoder", f"the network's own, random weights; the paper's {theirs}")
        return
    name, weights = network["model.encoder_name"], network["model.encoder_weights"]
    if (name, weights) != _ENCODER:
        kind = "random" if weights is None else "a file's" if weights.startswith("file:") else weights
        yield Fact("Encoder", f"{name} with {kind} weights; the paper's {theirs}")


def _of_search(run: Run, searched: Searched) -> Iterator[Fact]:
    known = searched.get((run.summary["model"], run.summary["task"]), [])
    candidates = [other.summary for other in known if other.data == run.data]
    ours = {key: _listed([summary[key] for summary in candidates]) for key in _GRID}
    theirs = {key: _listed(values) for key, values in _GRID.items()}
    if not candidates:
        yield Fact("Search", f"none among these runs; {_told(theirs)} in the paper")
    elif ours != theirs:
        yield Fact("Search", f"{_told(ours)}; {_told(theirs)} in the paper")


def _told(grid: Mapping[str, str]) -> str:
    return f"learning rates {grid['learning_rate']} and batch sizes {grid['batch_size']}"


def _listed(values: Sequence[float]) -> str:
    """Distinct numbers in their order; of many, how many there are and the ends."""
    known = sorted(set(values))
    if len(known) > _MOST_LISTED:
        return f"{len(known)} from {known[0]:g} to {known[-1]:g}"
    return ", ".join(f"{value:g}" for value in known)
