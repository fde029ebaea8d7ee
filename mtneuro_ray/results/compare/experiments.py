"""Experiments of a table with their runs, and the metric they are compared by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mtneuro_ray.results import published
from mtneuro_ray.results.benchmark import MethodNames, paper_method
from mtneuro_ray.results.compare.series import ScoredImages, Series
from mtneuro_ray.results.frame import CONFUSION, Key, Run, grouped
from mtneuro_ray.results.methods import differences, label_of
from mtneuro_ray.results.tasks import declared, kind_of, mode_of_run, shown_metric

_SPLITS = ("train", "val", "test", "all")


class Source(NamedTuple):
    """Runs of one output folder, its name in tables, and the scores of their images."""

    name: str
    runs: Sequence[Run]
    images: ScoredImages


@dataclass(frozen=True)
class ComparedExperiment:
    """The finished final runs of one method on one task.

    Attributes:
        name: Its name in tables and sentences.
        runs: Seed -> run.
        images: Source of the scores of its images.
    """

    name: str
    runs: Mapping[int, Run]
    images: ScoredImages

    def values(self, key: Key) -> dict[int, float]:
        """Seed -> value, for the seeds that have one."""
        return {seed: value for seed, run in self.runs.items() if (value := run.value(key)) is not None}

    def mean(self, key: Key) -> float:
        """Mean over the seeds; NaN without a value."""
        values = list(self.values(key).values())
        return float(np.mean(values)) if values else math.nan

    def series(self, key: Key) -> list[Series] | None:
        """The metric by position for each seed that has a value; None if one is missing, or their images differ."""
        found = [self.images.series(self.runs[seed], key) for seed in self.values(key)]
        every = [series for series in found if series is not None]
        return every if every and len(every) == len(found) and same_images(every) else None


def same_images(every: Sequence[Series]) -> bool:
    """Whether all series are of the same images at the same places."""
    first = every[0].places.origins
    return all(own.places.origins is first or np.array_equal(own.places.origins, first) for own in every)


def experiments_of(
    runs: Sequence[Run], sources: Sequence[Source], home: Mapping[int, int]
) -> tuple[list[ComparedExperiment], list[str]]:
    """The methods of some runs of a table, by the paper's names or their own, and notes that explain the names.

    `home` has the number of the source of each run, by `id`. A name that several have is followed by the settings in
    which they differ, or by the folder.
    """
    names = MethodNames(runs)
    methods = grouped(runs, lambda run: (home[id(run)], run.method))
    firsts = {place: own[0] for place, own in methods.items()}
    told = {place: names.name(run).text for place, run in firsts.items()}
    for name in {told[place] for place in _repeated(told)}:
        alike = [place for place in told if told[place] == name]
        paths = differences([firsts[place] for place in alike])
        for place in alike if paths else []:
            told[place] += f", {label_of(firsts[place], paths)}"
    for place in _repeated(told):
        told[place] += f" ({sources[place[0]].name})"
    for place in _repeated(told):
        told[place] += f" ({firsts[place].run_id})"
    found = [
        ComparedExperiment(told[place], {run.summary["seed"]: run for run in own}, sources[place[0]].images)
        for place, own in methods.items()
    ]
    return found, names.notes


def _repeated(told: Mapping[tuple[int, str], str]) -> list[tuple[int, str]]:
    """The places whose name another one has, too."""
    counts = Counter(told.values())
    return [place for place, name in told.items() if counts[name] > 1]


def metrics_of(run: Run) -> Iterable[str]:
    """Names of the metrics of a final run, as `key_of` takes them."""
    for key in run.keys:
        if not key.region and key.split in ("test", "all") and not key.metric.startswith(CONFUSION):
            yield f"{key.split}/{key.metric}" + (f":{key.class_}" if key.class_ else "")


def key_of(run: Run, metric: str | None) -> Key:
    """The metric of a name: `[SPLIT/]METRIC[:CLASS]`; by default the one that the task is judged by, on test."""
    own = declared(kind_of(run))
    shown = "test" if own is None else next(iter(own.splits))
    if metric is None:
        return Key(shown, (shown_metric(run) or "").partition("/")[2])
    split, _, rest = metric.partition("/")
    name, _, class_ = (rest if split in _SPLITS else metric).partition(":")
    return Key(split if split in _SPLITS else shown, name, class_)


def sign_of(run: Run, key: Key) -> int:
    """-1 if smaller values of a metric are better, else 1."""
    return -1 if mode_of_run(run, f"val/{key.metric}") == "min" else 1


def heading_of(run: Run, key: Key) -> str:
    """Name of a metric in sentences: its heading in tables, else its own."""
    own = declared(kind_of(run))
    headings = {heading.metric: heading.title for heading in (own.headings if own else ())}
    return headings.get(key.metric, headings.get(key.metric.removesuffix("_mean"), key.metric))


def published_score(run: Run, key: Key) -> published.Score | None:
    """The paper's value of a run's method and metric, whichever the reduction; None if it has none."""
    task, class_ = str(run.task["name"]), ""
    if key.class_:
        headings, place = published.classes(task), run.classes.index(key.class_)
        class_ = headings[place] if place < len(headings) else key.class_
    metric = key.metric.removeprefix("dataset/").removeprefix("image/").removesuffix("_mean")
    return published.score(task, paper_method(run), metric, class_)
