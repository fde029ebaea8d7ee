from __future__ import annotations

import numpy as np

from mtneuro_ray.volumes.phantom.noise import grid_noise, value_noise


def test_noise_on_a_grid_has_the_bits_of_the_same_points() -> None:
    axes = [
        np.arange(start, start + n).astype(np.float32) * np.float32(0.37) for start, n in ((-5, 9), (100, 12), (7, 8))
    ]
    points = [v.ravel() for v in np.meshgrid(*axes, indexing="ij")]
    whole = grid_noise(3, *axes)
    np.testing.assert_array_equal(whole.ravel(), value_noise(3, *points))
    # Few far points do not share their corners, and are hashed one by one.
    few = np.array([0, len(points[0]) // 2, len(points[0]) - 1])
    np.testing.assert_array_equal(whole.ravel()[few], value_noise(3, *(v[few] for v in points)))
    assert whole.min() >= 0
    assert whole.max() < 1
    assert whole.std() > 0.1


def test_no_points_have_no_noise() -> None:
    none = np.zeros(0, np.float32)
    assert value_noise(1, none, none, none).shape == (0,)
