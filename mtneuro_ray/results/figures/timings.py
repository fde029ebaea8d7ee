"""When runs were at work, and how long they took."""

from __future__ import annotations

from matplotlib.figure import Figure

from mtneuro_ray.results.charts.timings import Timings

_MOST_SEARCHES = 20


def draw_timings(found: Timings) -> Figure:
    """Runs at work over time, and minutes of each run by search, those with the longest sums."""
    shown = found.durations[:_MOST_SEARCHES]
    columns = 2 if found.at_work else 1
    figure = Figure(figsize=(5.0 + 4.5 * columns, 1.8 + 0.32 * len(shown)), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for line, own in enumerate(shown):
        axes[0].plot([value / 60 for value in own.seconds], [line] * len(own.seconds), "|", ms=11, color="#1f6fb2")
    names = [f"{own.title}\n{own.num_runs} runs, {own.total_s / 3600:.3g} h" for own in shown]
    axes[0].set_yticks(range(len(shown)), names, fontsize=8)
    axes[0].set_ylim(len(shown) - 0.5, -0.5)
    axes[0].set(xlabel="minutes of a run", xlim=(0, None))
    if found.at_work:
        hours, counts = zip(*found.at_work, strict=True)
        axes[1].step(hours, counts, where="post", color="#1f6fb2", lw=1.2)
        axes[1].set(xlabel="hours since the first run began", ylabel="runs at work", ylim=(0, None))
    return figure
