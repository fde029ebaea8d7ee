"""Timing that survives a noisy machine: contenders take turns, and medians and ratios are quoted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def take_turns(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each contender over `rounds`, run in turn after one uncounted round."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}
