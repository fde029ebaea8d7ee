from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mtneuro_ray.onboarding.texture_length import autocovariance, correlation_lengths
from mtneuro_ray.volumes.source import VolumeSource, open_volume


def source_of(folder: Path, image: np.ndarray) -> VolumeSource:
    np.save(folder / "image.npy", image)
    return open_volume(f"file:{folder}/image.npy")


def test_the_autocovariance_is_that_of_a_loop() -> None:
    voxels = np.random.default_rng(0).normal(size=(7, 3, 4))
    lines = voxels - voxels.mean()
    for axis in range(3):
        along = np.moveaxis(lines, axis, 0)
        slow = [np.mean(along[: len(along) - lag] * along[lag:]) for lag in range(len(along))]
        np.testing.assert_allclose(autocovariance(voxels, axis), slow, atol=1e-12)


def test_the_length_of_smoothed_noise_is_its_smoothing_s_along_each_axis(tmp_path: Path) -> None:
    # Gaussian smoothing by s has the autocorrelation exp(-(d / 2 s)^2), which is 1 / e at 2 s.
    noise = np.random.default_rng(0).normal(size=(100, 160, 160))
    smooth = gaussian_filter(noise, (1, 3, 6), mode="wrap")
    image = np.clip(120 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    lengths = correlation_lengths(source_of(tmp_path, image))
    assert [each.length for each in lengths] == pytest.approx([2, 6, 12], abs=1.5)
    assert not any(each.is_bound for each in lengths)
    assert [each.gap for each in lengths] == [2 * each.length for each in lengths]
    assert lengths == correlation_lengths(source_of(tmp_path, image))


def test_white_noise_a_single_plane_and_a_constant_have_the_least_length(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1, 80, 90)).astype(np.uint8)
    assert [each.length for each in correlation_lengths(source_of(tmp_path, image))] == [1, 1, 1]
    assert [each.length for each in correlation_lengths(source_of(tmp_path, image * 0))] == [1, 1, 1]


def test_a_texture_without_an_end_is_said_to_be_longer_than_measured(tmp_path: Path) -> None:
    plane = np.random.default_rng(0).integers(0, 255, (1, 64, 64)).astype(np.uint8)
    image = plane.repeat(8, axis=0)
    z, y, _ = correlation_lengths(source_of(tmp_path, image))
    assert z.is_bound
    assert str(z) == "at least 3"
    assert not y.is_bound
