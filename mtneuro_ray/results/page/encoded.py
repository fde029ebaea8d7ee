"""What charts show, as the page's script reads it: mappings with several keys become lists."""

from __future__ import annotations

from typing import Any

from mtneuro_ray.results.charts.confusion import Confusion
from mtneuro_ray.results.charts.curves import Line, Panel
from mtneuro_ray.results.charts.parallel import Parallel
from mtneuro_ray.results.charts.scores import Scores
from mtneuro_ray.results.charts.searches import Grid
from mtneuro_ray.results.charts.timings import Timings


def panel(found: Panel) -> dict[str, Any]:
    """Learning curves; each curve is a list of (epoch, value)."""

    def line(own: Line) -> dict[str, Any]:
        return {**own._asdict(), "curve": list(own.curve.items())}

    return {
        **found._asdict(),
        "candidates": [line(own) for own in found.candidates],
        "stopped": [line(own) for own in found.stopped],
        "methods": [
            {
                "label": seeds.label,
                "lines": [line(own) for own in seeds.lines],
                "mean": list(seeds.mean.items()),
                "std": list(seeds.std.values()),
            }
            for seeds in found.methods
        ],
    }


def grid(found: Grid) -> dict[str, Any]:
    """A heat map; values are (row, column, value)."""
    values = [(*place, value) for place, value in found.values.items()]
    return {**found._asdict(), "values": values, "is_filled": found.is_filled}


def parallel(found: Parallel) -> dict[str, Any]:
    """Parallel coordinates."""
    return {
        **found._asdict(),
        "axes": [axis._asdict() for axis in found.axes],
        "candidates": [candidate._asdict() for candidate in found.candidates],
    }


def scores(found: Scores) -> dict[str, Any]:
    """Scores of final runs; values of seeds are (seed, value), those of classes (row, column, value)."""
    seeds = [
        {
            "metric": own.metric,
            "methods": [
                {**method._asdict(), "values": list(method.values.items()), "mean": method.mean, "std": method.std}
                for method in own.methods
            ],
        }
        for own in found.seeds
    ]
    by_class = [
        {**own._asdict(), "values": [(*place, value) for place, value in own.values.items()]} for own in found.by_class
    ]
    return {**found._asdict(), "seeds": seeds, "by_class": by_class}


def confusion(found: Confusion) -> dict[str, Any]:
    """A confusion matrix; counts are rows of whole numbers."""
    return {"lines": found.lines, "classes": found.classes, "counts": found.counts.tolist(), "unit": found.unit}


def timings(found: Timings) -> dict[str, Any]:
    """Timings."""
    return {**found._asdict(), "durations": [{**own._asdict(), "median_s": own.median_s} for own in found.durations]}
