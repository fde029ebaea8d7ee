"""Comparison of the experiments of a task: their order, their differences, and what may be concluded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mtneuro_ray.errors import InputError, nearest
from mtneuro_ray.results import published
from mtneuro_ray.results.cautions import phantom_note
from mtneuro_ray.results.compare.contrast import Contrast, adjusted, against_paper, contrasted
from mtneuro_ray.results.compare.effect import SEEDS
from mtneuro_ray.results.compare.experiments import (
    ComparedExperiment,
    Source,
    experiments_of,
    heading_of,
    key_of,
    metrics_of,
    published_score,
    same_images,
    sign_of,
)
from mtneuro_ray.results.compare.ranks import Ranks, Standing, ranks_of
from mtneuro_ray.results.frame import Key
from mtneuro_ray.results.groups import Group, groups_of
from mtneuro_ray.results.tables import MISSING, Cells, Table, Value, count, mean_and_deviation, number

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    "First",
    "Second",
    "Difference",
    "95 % interval",
    "p",
    "p (Holm)",
    "Detectable",
    "Seeds",
    "Images",
    "Blocks",
)
_PARTS = ("SD of seeds", "Error of seeds", "Error of images")
_PAPER = f"paper ({published.DATA})"
_RULE = (
    "Difference: mean over pairs of seeds, positive where the first is better. Interval and p: t-test of seeds crossed "
    "with blocks of neighbouring images; p (Holm): adjusted for all rows. Detectable: the true difference that is "
    "found 8 times of 10 (before Holm). Error of seeds, of images: their parts in the standard error."
)


@dataclass(frozen=True)
class Comparison:
    """Experiments of one task, data and scale by one metric.

    Attributes:
        title: Task, data and metric.
        key: The metric.
        experiments: The best one first.
        ranks: Stability of their order.
        contrasts: Differences of pairs, or from the paper.
        notes: Rule and doubts.
    """

    title: str
    key: Key
    experiments: Sequence[ComparedExperiment]
    ranks: Ranks | None
    contrasts: Sequence[Contrast]
    notes: Sequence[str]

    @property
    def sentences(self) -> list[str]:
        """Each difference in a sentence."""
        return [contrast.sentence for contrast in self.contrasts]

    @property
    def tables(self) -> list[Table]:
        """The order of the experiments, and the differences with the sentences below them."""
        order = [self._order] if self.ranks is not None else []
        rows = [_row(contrast) for contrast in self.contrasts]
        notes = (*self.sentences, *self.notes)
        return [*order, Table(f"Differences: {self.title}", [*_COLUMNS, *_PARTS], rows, notes=notes)]

    @property
    def _order(self) -> Table:
        assert self.ranks is not None
        rows: list[Cells] = []
        for experiment, share in zip(self.experiments, self.ranks.first.tolist(), strict=True):
            values = list(experiment.values(self.key).values())
            first = MISSING if math.isnan(share) else Value(f"{100 * share:.0f}", share)
            rows.append([experiment.name, count(len(values)), mean_and_deviation(values), first])
        known = not math.isnan(self.ranks.kendall)
        notes = [f"First: % of draws of other seeds and blocks of images. Kendall's tau: {self.ranks.kendall:.2f}."]
        title, columns = f"Order: {self.title}", ["Experiment", "Seeds", "Mean", "First, %"]
        return Table(title, columns, rows, notes=tuple(notes if known else []))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One entry per difference, all of its numbers as numbers; None for a number that is not known."""
        about = {"comparison": self.title, "split": self.key.split, "metric": self.key.metric, "class": self.key.class_}
        return [{**about, **_numbers(contrast)} for contrast in self.contrasts]

    def to_pandas(self) -> pd.DataFrame:
        """`rows` as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.rows)


def _row(contrast: Contrast) -> Cells:
    numbers = _numbers(contrast)

    def shown(name: str, digits: int = 3) -> Value:
        value = numbers[name]
        return MISSING if value is None else number(value, digits)

    low, high = (numbers[name] for name in ("low", "high"))
    interval = MISSING if low is None else Value(f"{low:.3f} to {high:.3f}", [low, high])
    counts = [count(numbers[name]) if numbers[name] else MISSING for name in ("seeds", "images", "blocks")]
    parts = [shown(name) for name in ("seed_std", "seed_error", "image_error")]
    tests = [_probability(numbers["p"]), _probability(numbers["p_holm"]), shown("detectable")]
    return [contrast.first, contrast.second, shown("difference"), interval, *tests, *counts, *parts]


def _probability(p: float | None) -> Value:
    if p is None:
        return MISSING
    return number(p, 4) if p >= 1e-4 else Value("< 0.0001", p)


def _numbers(contrast: Contrast) -> dict[str, Any]:
    effect, layout = contrast.effect, contrast.effect.layout
    low, high = effect.interval
    numbers = {
        "difference": effect.difference,
        "low": low,
        "high": high,
        "p": effect.p,
        "p_holm": contrast.p,
        "detectable": effect.detectable,
        "error": effect.error,
        "freedom": effect.freedom,
        "seed_std": effect.seed_std,
        "seed_error": effect.seed_error,
        "image_error": effect.image_error,
    }
    return {
        "first": contrast.first,
        "second": contrast.second,
        **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
        "basis": effect.basis,
        "seeds": layout.seeds,
        "images": layout.images,
        "blocks": layout.blocks,
        "block": layout.block,
        "is_told_apart": contrast.is_told_apart,
        "sentence": contrast.sentence,
    }


def comparisons(
    sources: Sequence[Source], metric: str | None, *, pairs: bool, paper: bool, block: int | None
) -> list[Comparison]:
    """A comparison for each task, data and scale with several experiments, or with a published value for `paper`.

    The arguments are those of `Results.compare`; `sources` are the runs of one or several output folders.

    Raises:
        InputError: there is nothing to compare, or no run has the metric.
    """
    # Two folders may hold the same run.
    home = {id(run): place for place, source in enumerate(sources) for run in source.runs}
    found, known = [], set[str]()
    runs = [run for source in sources for run in source.runs]
    # How long a method trains is one of its settings, and some have no epochs.
    for group, own in groups_of(runs, by_epochs=False):
        known |= {name for run in own for name in metrics_of(run)}
        key = key_of(own[0], metric)
        every, notes = experiments_of(own, sources, home)
        experiments = [each for each in every if each.values(key)]
        if experiments and (paper or len(experiments) > 1):
            comparison = _compared(group, key, experiments, pairs=pairs, paper=paper, block=block)
            found.append(replace(comparison, notes=[*comparison.notes, *notes]))
    found = [comparison for comparison in found if comparison.contrasts]
    if found:
        return found
    if metric is not None and not any(key_of(run, metric) in run.keys for run in runs):
        raise InputError(
            f"--metric: no final run has {metric!r}{nearest(metric, known)}; "
            f"accepted: {', '.join(sorted(known)) or 'nothing yet'}"
        )
    folders = ", ".join(source.name for source in sources)
    accepted = "two experiments of one task, data and scale with finished final runs, or --paper"
    if paper:
        accepted = "a finished run of one of the paper's methods, by a metric that it reports"
    raise InputError(f"{folders}: there is nothing to compare; accepted: {accepted}")


def _compared(
    group: Group, key: Key, experiments: Sequence[ComparedExperiment], *, pairs: bool, paper: bool, block: int | None
) -> Comparison:
    first = next(iter(experiments[0].runs.values()))
    sign = sign_of(first, key)
    order = sorted(experiments, key=lambda each: -sign * each.mean(key))
    heading = heading_of(first, key)
    effects = []
    if paper:
        for each in order:
            run = next(iter(each.runs.values()))
            score = published_score(run, key)
            effect = None if score is None else against_paper(each, key, sign, score)
            effects += [] if effect is None else [(each.name, _PAPER, effect)]
    else:
        chosen = combinations(order, 2) if pairs else ((order[0], each) for each in order[1:])
        for one, other in chosen:
            effect = contrasted(one, other, key, sign, block)
            effects += [] if effect is None else [(one.name, other.name, effect)]
    contrasts = adjusted(effects, heading)
    split = f"{key.split} split"
    title = f"{group.task}, {group.source}: {heading}{f' of {key.class_}' if key.class_ else ''}, {split}"
    ranks = None if paper else _ranks(order, key, sign, [contrast.effect.layout.block for contrast in contrasts])
    doubts = [doubt for contrast in contrasts for doubt in contrast.effect.doubts]
    if any(contrast.effect.basis == "images" for contrast in contrasts):
        doubts.append(f"With fewer than {SEEDS} seeds nothing is said about models that are trained again.")
    notes = [*doubts, *(phantom_note(group.part.data) if paper else [_RULE])]
    return Comparison(title, key, order, ranks, contrasts, list(dict.fromkeys(notes)))


def _ranks(order: Sequence[ComparedExperiment], key: Key, sign: int, lengths: Sequence[int]) -> Ranks:
    every = [each.series(key) for each in order]
    known = [series for series in every if series is not None]
    usable = len(known) == len(every) and same_images([own for series in known for own in series])
    standings = []
    for experiment, series in zip(order, every, strict=True):
        values = experiment.values(key)
        numbers = np.array(list(values.values()))
        standings.append(Standing(tuple(values), numbers, (series or ()) if usable else ()))
    return ranks_of(standings, sign, max([*lengths, 1]))
