from __future__ import annotations

from dataclasses import replace

import pytest

from mtneuro_ray.results.charts.parallel import Axis, Parallel, parallel_of
from mtneuro_ray.results.charts.searches import searches_of
from mtneuro_ray.results.frame import runs_of
from mtneuro_ray.storage.records import RunRecord
from tests.results.figures.test_curves import METRIC, SEEDS, cell, stopped


def of(*records: RunRecord, most: int = 300) -> Parallel | None:
    [search] = searches_of(runs_of(records))
    return parallel_of(search, most)


def test_candidates_have_a_place_on_each_axis_and_the_best_is_last() -> None:
    found = of(
        cell(0.5, learning_rate=0.1, loss="dice"),
        cell(0.25, learning_rate=0.001, loss="focal"),
        stopped(learning_rate=0.01, loss="dice"),
        *SEEDS,
    )
    assert found is not None
    assert (found.metric, found.sign, found.left_out) == (METRIC, 1, 0)
    assert found.axes == [Axis("learning_rate", None, True), Axis("loss", ["dice", "focal"], False)]
    assert [(candidate.places, candidate.score) for candidate in found.candidates] == [
        ([0.01, 0.0], None),
        ([0.001, 1.0], 0.25),
        ([0.1, 0.0], 0.5),
    ]


def test_a_candidate_over_seeds_has_their_mean_and_none_if_one_was_lost() -> None:
    pairs = [
        cell(val, learning_rate=rate, seed=seed) for rate, val, seed in ((0.1, 0.2, 1), (0.1, 0.6, 2), (0.2, 0.9, 1))
    ]
    lost = replace(cell(0.9, learning_rate=0.2, seed=2), metrics={})
    found = of(*pairs, lost)
    assert found is not None
    assert [candidate.score for candidate in found.candidates] == [None, pytest.approx(0.4)]


def test_of_many_candidates_the_best_and_others_evenly_by_rank_are_shown() -> None:
    found = of(*(cell(n / 100, learning_rate=n / 100) for n in range(1, 21)), most=3)
    assert found is not None
    assert found.left_out == 17
    assert [candidate.score for candidate in found.candidates] == pytest.approx([0.01, 0.11, 0.2])


def test_without_a_search_there_are_no_axes() -> None:
    assert of(*SEEDS) is None
