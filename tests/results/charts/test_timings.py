from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mtneuro_ray.results.charts.searches import searches_of
from mtneuro_ray.results.charts.timings import Timings, timings_of
from mtneuro_ray.results.frame import runs_of
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import segmentation_record


def at(began: float, ended: float, host: str = "one", **changes: Any) -> RunRecord:
    timings = {"total_s": ended - began, "began_at": began, "ended_at": ended}
    return replace(segmentation_record(**changes), timings=timings, host=host)


def of(*records: RunRecord) -> Timings:
    return timings_of(searches_of(runs_of(records)), {record.run_id: record for record in records})


def test_hours_at_work_are_those_in_which_a_host_had_any_run() -> None:
    found = of(at(0, 3600, seed=1), at(1800, 5400, seed=2), at(7200, 9000, seed=3), at(0, 900, "other", seed=4))
    assert found.host_hours == pytest.approx({"one": 2.0, "other": 0.25})
    assert found.cost(4.0) == pytest.approx(9.0)


def test_the_number_of_runs_at_work_changes_as_they_begin_and_end() -> None:
    found = of(at(1000, 4600, seed=1), at(2800, 4600, seed=2))
    assert found.began_at == 1000
    assert found.at_work == [(0.0, 1), (0.5, 2), (1.0, 0)]


def test_durations_are_by_search_the_longest_sum_first() -> None:
    found = of(at(0, 10, seed=1), at(0, 30, seed=2), at(0, 100, epochs=9))
    assert [(own.num_runs, own.total_s, own.median_s) for own in found.durations] == [(1, 100, 100), (2, 40, 20)]
    many = of(*(at(0, n + 1, seed=n) for n in range(300)))
    [own] = many.durations
    assert (own.num_runs, len(own.seconds), own.seconds[0], own.seconds[-1]) == (300, 200, 1, 300)


def test_run_files_without_times_have_none() -> None:
    record = replace(segmentation_record(), timings={})
    assert of(record) == Timings([], None, [], {})
