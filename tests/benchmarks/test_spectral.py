"""Folds and smoothing of the representation that is chosen on the real slice."""

from __future__ import annotations

import numpy as np

from benchmarks.real_slice.spectral import Tiles, folds, smoothed


def tiles() -> Tiles:
    places = np.array([(y, 1000 * label + x) for label in range(2) for y in (0, 32) for x in range(0, 800, 32)])
    return Tiles(np.zeros((len(places), 1, 1)), np.repeat([0, 1], 50), places)


def test_folds_leave_out_each_tile_once_and_learn_from_none_that_overlaps_it() -> None:
    known = tiles()
    left_out = np.zeros(len(known.labels), int)
    for kept, out in folds(known):
        left_out[out] += 1
        assert set(known.labels[out]) == set(known.labels[kept]) == {0, 1}
        distance = np.abs(known.places[kept][:, None] - known.places[out][None]).max(-1)
        assert distance.min() >= 128
    assert (left_out == 1).all()


def test_scores_are_the_mean_of_the_tiles_around() -> None:
    places, scores = np.array([(0, 0), (0, 32), (0, 96)]), np.array([[0.0, 3.0], [3.0, 0.0], [9.0, 9.0]])
    np.testing.assert_array_equal(smoothed(scores, places, 0), scores)
    np.testing.assert_allclose(smoothed(scores, places, 48), [[1.5, 1.5], [1.5, 1.5], [9.0, 9.0]])
    np.testing.assert_allclose(smoothed(scores, places, 96)[0], [4.0, 4.0])
