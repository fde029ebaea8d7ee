"""Differences of experiments, tested together, and what they say in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mtneuro_ray.results import published
from mtneuro_ray.results.compare.effect import BLOCKS, LEVEL, SEEDS, Effect, EffectLayout, holm, of_images, of_seeds
from mtneuro_ray.results.compare.experiments import ComparedExperiment, same_images
from mtneuro_ray.results.frame import Key

NO_SCORES = "Scores of single images are missing; `mtneuro-ray evaluate --out OUT` adds them."
OTHER_IMAGES = "The runs were evaluated on other images, so they are compared over seeds alone."
NO_COMMON_SEED = "The experiments have no seed in common: seeds are paired in their order."


@dataclass(frozen=True)
class Contrast:
    """Two experiments and their difference, positive where the first is better.

    Attributes:
        first: Name of the first.
        second: Name of the second.
        metric: Name of the metric in a sentence.
        effect: The difference.
        p: p-value, adjusted for all contrasts of the table (`adjusted`).
        among: Number of contrasts of the table.
    """

    first: str
    second: str
    metric: str
    effect: Effect
    p: float
    among: int

    @property
    def is_told_apart(self) -> bool:
        """Whether the two differ by more than chance explains."""
        return self.p < LEVEL

    @property
    def sentence(self) -> str:
        """The difference in words."""
        effect, number = self.effect, _digits(self.effect)
        if not math.isfinite(effect.error):
            return (
                f"{self.first} and {self.second} can't be compared: the difference is {effect.difference:.{number}f} "
                f"{self.metric}, {_evidence(effect)}; needed: scores of single images in {BLOCKS} blocks, or 2 seeds."
            )
        # "Worse by 0.3" has an interval of positive numbers, too.
        sign = -1 if self.is_told_apart and effect.difference < 0 else 1
        low, high = (f"{end:.{number}f}" for end in sorted(sign * end for end in effect.interval))
        size = f"{sign * effect.difference:.{number}f} {self.metric}"
        told = f"{size}, 95 % interval {low} to {high}, {_evidence(effect)}"
        if self.is_told_apart:
            return f"{self.first} is {'better' if sign > 0 else 'worse'} than {self.second} by {told}."
        apart = f"{self.first} and {self.second} can't be told apart"
        if effect.p < LEVEL:
            return (
                f"{apart} in a table of {self.among} differences: this one is {told}; p is {effect.p:.2g} by itself "
                f"and {self.p:.2g} among all (Holm)."
            )
        least = f"{effect.detectable:.{number}f}"
        return f"{apart}: the difference is {told}; a true difference of {least} would be found 8 times of 10."


def _digits(effect: Effect) -> int:
    """Decimals that show the first digit of the standard error, 3 to 6."""
    if not (math.isfinite(effect.error) and effect.error > 0):
        return 3
    return min(max(3, -math.floor(math.log10(effect.error))), 6)


def _evidence(effect: Effect) -> str:
    layout = effect.layout
    seeds = f"{layout.seeds} seed{'s' if layout.seeds != 1 else ''}"
    if effect.basis == "seeds":
        return f"{seeds}, on these images"
    if not layout.images:
        return f"{seeds}"
    models = "" if layout.seeds >= SEEDS else " (these trained models alone)"
    return f"{seeds}{models}, {layout.images} images in {layout.blocks} blocks"


def contrasted(
    first: ComparedExperiment, second: ComparedExperiment, key: Key, sign: int, block: int | None = None
) -> Effect | None:
    """The difference of two experiments; None if one has no value.

    Args:
        first: One experiment.
        second: The other.
        key: The metric.
        sign: -1 if smaller values are better, else 1.
        block: Block length; by default it follows from the correlation.
    """
    one, two = first.values(key), second.values(key)
    common = sorted(one.keys() & two.keys())
    pairs = [(seed, seed) for seed in common] or list(zip(sorted(one), sorted(two), strict=False))
    if not pairs:
        return None
    doubts = () if common else (NO_COMMON_SEED,)
    differences = sign * np.array([one[seed] - two[other] for seed, other in pairs])
    ours = [first.images.series(first.runs[seed], key) for seed, _ in pairs]
    theirs = [second.images.series(second.runs[seed], key) for _, seed in pairs]
    every = [series for series in (*ours, *theirs) if series is not None]
    if len(every) < 2 * len(pairs):
        return of_seeds(differences, (*doubts, NO_SCORES))
    if not same_images(every):
        return of_seeds(differences, (*doubts, OTHER_IMAGES))
    half = len(pairs)
    shares = [sign * (a.shares() - b.shares()) for a, b in zip(every[:half], every[half:], strict=True)]
    places, weights = every[0].places, np.sum([series.weights for series in every], axis=0)
    effect = of_images(differences, np.stack(shares), weights, places.pieces, places.images, block)
    return replace(effect, doubts=(*doubts, *effect.doubts))


def against_paper(experiment: ComparedExperiment, key: Key, sign: int, paper: published.Score) -> Effect | None:
    """The difference from a published mean and deviation: Welch's t-test over seeds; None without a value.

    A mean without a deviation is taken as exact.
    """
    values = np.array(list(experiment.values(key).values()))
    if not len(values):
        return None
    difference, count = sign * (float(values.mean()) - paper.mean), len(values)
    layout = EffectLayout(count)
    if count < 2:
        return Effect(difference, math.nan, math.nan, "nothing", layout)
    own, theirs = float(values.var(ddof=1)) / count, (paper.std or 0.0) ** 2 / published.SEEDS
    parts = own**2 / (count - 1) + theirs**2 / (published.SEEDS - 1)
    freedom = (own + theirs) ** 2 / parts if parts else count - 1
    error = math.sqrt(own + theirs)
    return Effect(difference, error, freedom, "seeds", layout, float(values.std(ddof=1)), error)


def adjusted(found: Sequence[tuple[str, str, Effect]], metric: str) -> list[Contrast]:
    """Contrasts of names and effects, with p-values adjusted for all of them by Holm's method."""
    p = holm(np.array([effect.p for *_, effect in found]))
    return [
        Contrast(first, second, metric, effect, float(own), len(found))
        for (first, second, effect), own in zip(found, p, strict=True)
    ]
