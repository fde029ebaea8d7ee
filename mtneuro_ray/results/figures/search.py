"""A search over all its axes, as parallel coordinates, and the importance of its hyperparameters."""

from __future__ import annotations

import math

from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mtneuro_ray.results.charts.importance import Importance
from mtneuro_ray.results.charts.parallel import Axis, Parallel
from mtneuro_ray.results.methods import text_of

_STOPPED = "#b0b0b0"


def draw_parallel(found: Parallel, title: str) -> Figure:
    """A line per candidate over its axes, colored by its score; candidates without one are grey."""
    figure = Figure(figsize=(1.8 + 1.7 * len(found.axes), 4.0), layout="constrained")
    axis = figure.subplots()
    scores = [candidate.score for candidate in found.candidates if candidate.score is not None]
    norm = Normalize(min(scores, default=0.0), max(scores, default=1.0))
    colors = colormaps["viridis"]
    ranges = [_range(own, [candidate.places[n] for candidate in found.candidates]) for n, own in enumerate(found.axes)]
    for candidate in found.candidates:
        heights = [
            _height(own, place, *limits)
            for own, place, limits in zip(found.axes, candidate.places, ranges, strict=True)
        ]
        color = _STOPPED if candidate.score is None else colors(norm(candidate.score))
        axis.plot(range(len(heights)), heights, color=color, lw=1.1, alpha=0.8)
    for number, (own, limits) in enumerate(zip(found.axes, ranges, strict=True)):
        axis.axvline(number, color="#555555", lw=0.8)
        for place, text in _ticks(own, *limits):
            axis.annotate(text, (number, place), (4, 0), textcoords="offset points", fontsize=8, va="center")
    axis.set_xticks(range(len(found.axes)), [own.name for own in found.axes])
    axis.set(yticks=[], ylim=(-0.04, 1.04), xlim=(-0.2, len(found.axes) - 0.5))
    for side in axis.spines.values():
        side.set_visible(False)
    figure.colorbar(ScalarMappable(norm, "viridis"), ax=axis, label=found.metric)
    shown = f"\n{len(found.candidates)} of {len(found.candidates) + found.left_out} candidates, evenly by rank"
    figure.suptitle(title + (shown if found.left_out else ""), fontsize=11)
    return figure


def _range(axis: Axis, places: list[float]) -> tuple[float, float]:
    if axis.values is not None:
        return 0.0, max(1.0, len(axis.values) - 1.0)
    scaled = [math.log10(place) if axis.is_log else place for place in places]
    return min(scaled), max(scaled)


def _height(axis: Axis, place: float, low: float, high: float) -> float:
    scaled = math.log10(place) if axis.is_log else place
    return (scaled - low) / (high - low) if high > low else 0.5


def _ticks(axis: Axis, low: float, high: float) -> list[tuple[float, str]]:
    if axis.values is not None:
        return [(_height(axis, place, low, high), text_of(value)) for place, value in enumerate(axis.values)]
    ends = [10**value if axis.is_log else value for value in (low, high)]
    return [(_height(axis, value, low, high), f"{value:.3g}") for value in dict.fromkeys(ends)]


def draw_importance(found: Importance, title: str) -> Figure:
    """A bar per hyperparameter, the most important one on top."""
    figure = Figure(figsize=(6.0, 1.3 + 0.34 * len(found.shares)), layout="constrained")
    axis = figure.subplots()
    names = list(found.shares)[::-1]
    axis.barh(names, [found.shares[name] for name in names], color="#1f6fb2")
    for place, name in enumerate(names):
        axis.text(found.shares[name], place, f" {found.shares[name]:.2f}", va="center", fontsize=9)
    axis.set(xlabel="share of the importance (PED-ANOVA, Optuna)", xlim=(0, 1.1))
    axis.set_title(f"{title}\n{found.num_candidates} candidates", fontsize=10)
    return figure
