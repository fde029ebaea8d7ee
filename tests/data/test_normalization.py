from typing import Any

import numpy as np
import pytest

from mtneuro_ray.config.owners import DataSettings
from mtneuro_ray.data import normalization
from mtneuro_ray.data.normalization import Scaling, check_finite, sampled
from mtneuro_ray.errors import InputError


def settings(**changes: Any) -> DataSettings:
    return DataSettings.load({"batch_size": 2, **changes}, "network.json", "data.")


def scaling_of(images: np.ndarray[Any, Any], **changes: Any) -> Scaling:
    return Scaling.of(settings(**changes), list(images), "task")


WINDOW = {"normalization": "window", "low": -100, "high": 400}


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("uint8", 0, 255), ("uint16", 0, 65535), ("int16", -32768, 32767), ("int8", -128, 127), ("uint32", 0, 2**32 - 1)],
)
def test_unit_maps_the_range_of_an_integer_type_to_0_and_1(dtype: str, low: int, high: int) -> None:
    found = scaling_of(np.zeros((1, 2, 1, 1, 1), dtype))
    assert (found.dtype, found.shift, found.clips) == (dtype, (low, low), False)
    np.testing.assert_allclose((high - np.array(found.shift)) * found.factor, [1, 1])


def test_statistics_are_those_of_each_channel() -> None:
    random = np.random.default_rng(0)
    images = np.stack([random.normal(10, 2, (5, 1, 4, 4)), random.normal(-300, 50, (5, 1, 4, 4))], axis=1)
    images = images.astype(np.float32)
    zscore = scaling_of(images, normalization="zscore")
    for channel in range(2):
        values = images[:, channel].astype(np.float64)
        np.testing.assert_allclose(zscore.shift[channel], values.mean())
        np.testing.assert_allclose(zscore.factor[channel], 1 / values.std())
    percentile = scaling_of(images, normalization="percentile", percentiles=[5, 90])
    for channel in range(2):
        low, high = np.percentile(images[:, channel].astype(np.float64), [5, 90])
        np.testing.assert_allclose((percentile.shift[channel], percentile.factor[channel]), (low, 1 / (high - low)))
    assert percentile.clips
    assert not zscore.clips
    window = scaling_of(images, **WINDOW)
    assert (window.shift, window.factor, window.clips) == ((-100, -100), (1 / 500, 1 / 500), True)


def test_what_is_no_number_takes_no_part_in_statistics_and_is_refused_unless_it_is_filled() -> None:
    images = np.random.default_rng(0).normal(3, 1, (4, 1, 1, 4, 4)).astype(np.float32)
    images[1, 0, 0, 2, 2:] = np.nan, np.inf
    found = scaling_of(images, normalization="zscore", nonfinite=0)
    np.testing.assert_allclose(found.shift, images[np.isfinite(images)].astype(np.float64).mean())
    check_finite(images, settings(normalization="zscore", nonfinite=0), "task: train split")
    with pytest.raises(InputError, match="task: train split: image_chan: 2 voxels of image 1 are NaN or infinite; acc"):
        check_finite(images, settings(normalization="zscore"), "task: train split")
    with pytest.raises(InputError, match="channel 0 of the training split has no finite voxel"):
        scaling_of(np.full((1, 1, 2, 2), np.nan, np.float32), normalization="percentile")


def test_a_channel_of_one_value_is_only_shifted(caplog: pytest.LogCaptureFixture) -> None:
    found = scaling_of(np.full((3, 1, 1, 2, 2), 7, np.uint16), normalization="zscore")
    assert (found.shift, found.factor) == ((7.0,), (1.0,))
    assert "one grey value (7) in the training split" in caplog.text


def test_floats_have_no_range() -> None:
    with pytest.raises(InputError, match=r"task: data\.normalization: 'unit' .* float32 has none; accepted: window"):
        scaling_of(np.zeros((1, 1, 2, 2), np.float32))


def test_a_fixed_number_of_images_is_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalization, "STATISTICS_IMAGES", 4)
    images = np.arange(10)[:, None]
    assert [int(image[0]) for image in sampled(images)] == [0, 3, 6, 9]
    assert len(sampled(images[:3])) == 3


def test_a_scaling_is_the_same_from_its_record() -> None:
    for changes in ({"normalization": "image"}, {**WINDOW, "nonfinite": 1.5}):
        found = scaling_of(np.random.default_rng(0).normal(size=(2, 1, 1, 2, 2)), **changes)
        assert Scaling.loaded(found.record()) == found
    assert Scaling.loaded({}) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"low": 1}, "data.low: belongs to normalization 'window'; accepted: leave it out"),
        ({"normalization": "window", "low": 1}, "data.high: is missing; normalization 'window' requires it"),
        ({"normalization": "window", "low": 1, "high": 1}, "data.high: 1 is not above 1"),
        ({"percentiles": [1, 2]}, "data.percentiles: belongs to normalization 'percentile'"),
        ({"normalization": "percentile", "percentiles": [9, 2]}, "data.percentiles: 2 is not above 9"),
        ({"normalization": "percentile", "percentiles": [0, 101]}, "data.percentiles.1: is 101"),
        ({"normalization": "zscore", "input_norm": "unit"}, "data.input_norm: unknown key"),
        ({"normalization": "log"}, "data.normalization: is 'log'; accepted: 'unit', 'image', 'window', 'percentile'"),
    ],
)
def test_parameters_without_use_and_bad_ones_are_refused(changes: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings(**changes)
