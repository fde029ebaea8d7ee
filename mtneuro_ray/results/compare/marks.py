"""Marks of tables: which methods can't be told apart from the best of their column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mtneuro_ray.results.compare.contrast import adjusted, contrasted
from mtneuro_ray.results.compare.effect import LEVEL, Basis
from mtneuro_ray.results.compare.experiments import ComparedExperiment, sign_of
from mtneuro_ray.results.compare.series import ScoredImages
from mtneuro_ray.results.frame import Key, Run
from mtneuro_ray.results.tables import Value

MARK = "*"
_SOURCES: Mapping[Basis, str] = {
    "seeds and images": "seeds crossed with blocks of neighbouring images",
    "images": "blocks of neighbouring images, of these trained models",
    "seeds": "seeds alone, on these images",
}


class Best(NamedTuple):
    """Hashes of the methods that are the best by a metric or can't be told apart from it, and what that rests on."""

    methods: frozenset[str]
    bases: frozenset[Basis]


class Judge:
    """Compares the methods of tables; each answer is kept.

    Args:
        images: Source of the scores of single images.
    """

    def __init__(self, images: ScoredImages) -> None:
        self._images = images
        self._known: dict[tuple[Key, tuple[str, ...]], Best | None] = {}

    def best(self, methods: Iterable[Sequence[Run]], key: Key) -> Best | None:
        """The best methods, given by their seeds, by a metric.

        None for fewer than two methods with a value, or if neither seeds nor images can tell any of them apart.
        """
        groups = list(methods)
        known = (key, tuple(run.run_id for seeds in groups for run in seeds))
        if known not in self._known:
            self._known[known] = self._of(groups, key)
        return self._known[known]

    def _of(self, groups: Sequence[Sequence[Run]], key: Key) -> Best | None:
        every = [
            ComparedExperiment(seeds[0].method, {run.summary["seed"]: run for run in seeds}, self._images)
            for seeds in groups
        ]
        experiments = [each for each in every if each.values(key)]
        if len(experiments) < 2:
            return None
        sign = sign_of(groups[0][0], key)
        best, *others = sorted(experiments, key=lambda each: -sign * each.mean(key))
        found = [(each.name, contrasted(best, each, key, sign)) for each in others]
        contrasts = adjusted([(best.name, name, effect) for name, effect in found if effect is not None], key.metric)
        if all(math.isnan(contrast.p) for contrast in contrasts):
            return None
        alike = [contrast.second for contrast in contrasts if not contrast.p < LEVEL]
        return Best(frozenset([best.name, *alike]), frozenset(contrast.effect.basis for contrast in contrasts))


class Marks:
    """Marks the cells of one table, and remembers what the marks rest on."""

    def __init__(self, judge: Judge | None, methods: Iterable[Sequence[Run]]) -> None:
        self._judge, self._methods = judge, list(methods)
        self._bases: set[Basis] = set()

    def cell(self, cell: Value, seeds: Sequence[Run], key: Key) -> Value:
        """The cell of a method's seeds, marked if the method is among the best of its task; in JSON beside the value.

        A cell without a mean stays as it is.
        """
        if self._judge is None:
            return cell
        task = seeds[0].summary["task"]
        best = self._judge.best((own for own in self._methods if own[0].summary["task"] == task), key)
        if best is None:
            return cell
        self._bases |= best.bases
        is_best = seeds[0].method in best.methods
        return Value(f"{cell.text} {MARK}" if is_best else cell.text, {**cell.value, "best": is_best})

    @property
    def notes(self) -> list[str]:
        """The note that explains the marks; none without one."""
        if not self._bases:
            return []
        told = "; ".join(text for basis, text in _SOURCES.items() if basis in self._bases)
        return [
            f"{MARK} the best of the column, or not told apart from it (t-test over {told}; Holm's correction over the "
            "methods, 5 %; see `results compare`)."
        ]
