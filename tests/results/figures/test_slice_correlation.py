from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.data.mosaic import EMPTY, Mosaic
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.results.charts.curves import mean_curve
from mtneuro_ray.results.figures.slice_correlation import (
    Stack,
    correlations,
    decay,
    describe,
    draw_correlations,
    reach,
    stacks_of,
)

RANDOM = np.random.default_rng(0)


def noise(count: int, side: int = 24) -> Bytes:
    return RANDOM.integers(0, 200, (count, side, side), np.uint8)


def blurred(count: int, width: int, side: int = 24) -> Bytes:
    """Slices that are means of `width` independent ones: two that lie k apart share width - k of them."""
    slices = RANDOM.normal(size=(count + width - 1, side, side))
    sums = np.stack([slices[n : n + width].sum(0) for n in range(count)]) / width**0.5
    images: Bytes = np.clip(100 + 20 * sums, 0, 254).round().astype(np.uint8)
    return images


def test_correlations_are_numpy_s() -> None:
    images = noise(6)
    np.testing.assert_allclose(correlations(images), np.corrcoef(images.reshape(6, -1)), atol=1e-6)


def test_brightness_and_contrast_do_not_matter_and_flat_images_are_like_nothing() -> None:
    image = noise(1)[0]
    images = np.stack([image, image // 2 + 30, 254 - image, np.full_like(image, 7)])
    found = correlations(images)
    assert found[0, 1] == pytest.approx(1, abs=1e-3)
    assert found[0, 2] == pytest.approx(-1)
    assert found[3].tolist() == [0, 0, 0, 0]


@given(st.lists(st.integers(0, 40), min_size=2, max_size=12, unique=True))
def test_the_decay_is_the_mean_over_pairs_of_one_distance(places: list[int]) -> None:
    z = np.array(sorted(places))
    matrix = np.add.outer(z, z) / 100.0
    pairs: dict[int, list[float]] = {}
    for i in range(len(z)):
        for j in range(i + 1, len(z)):
            pairs.setdefault(int(z[j] - z[i]), []).append(float(matrix[i, j]))
    assert decay(matrix, z) == pytest.approx({distance: np.mean(values) for distance, values in pairs.items()})


def test_slices_that_share_structure_are_alike_as_far_as_it_reaches() -> None:
    images = blurred(60, width=5)
    curve = decay(correlations(images), np.arange(60))
    assert [curve[distance] for distance in (1, 2, 3, 4)] == pytest.approx([0.8, 0.6, 0.4, 0.2], abs=0.05)
    assert reach(curve, 0.5) == 3
    assert reach(curve, 0.1) == 5
    assert reach({1: 0.9, 2: 0.8}) is None


def test_the_mean_over_regions_is_of_distances_that_all_have() -> None:
    assert mean_curve([{1: 0.5, 2: 0.1, 3: 0.0}, {1: 0.7, 3: 0.2}]) == pytest.approx({1: 0.6, 3: 0.1})


def test_splits_of_a_box_are_joined_and_other_boxes_and_unread_slices_left_out() -> None:
    low, high, other = noise(4), noise(3), noise(2)
    high[1] = EMPTY
    mosaics = [
        Mosaic("A", (20, 8, 8), (1, 2, 2), high),
        Mosaic("A", (10, 8, 8), (1, 2, 2), low),
        Mosaic("A", (10, 0, 8), (1, 2, 2), other),
        Mosaic("B", (0, 0, 0), (1, 1, 1), other),
    ]
    first, second = stacks_of(mosaics)
    assert (first.region, first.z.tolist()) == ("A", [10, 11, 12, 13, 20, 22])
    np.testing.assert_array_equal(first.images, np.concatenate([low, high[[0, 2]]]))
    assert (second.region, second.z.tolist()) == ("B", [0, 1])


def test_the_figure_shows_each_region_all_of_them_and_the_decay() -> None:
    stacks = [Stack(name, np.arange(100, 140), blurred(40, width)) for name, width in (("CTX", 2), ("STR", 6))]
    text = describe(stacks)
    assert text.startswith("mean correlation below 0.2 after ")
    # Of slices that share 1 of 2, or 6 - k of 6.
    assert "(CTX 2, STR 5)" in text
    figure = draw_correlations(stacks, "title")
    axes = {axis.get_title(): axis for axis in figure.axes}
    assert {"CTX, first slices", "all slices", "CTX", "STR", "decay"} <= axes.keys()
    [image] = axes["STR"].get_images()
    np.testing.assert_allclose(np.asarray(image.get_array(), float), correlations(stacks[1].images))
    assert [label.get_text() for label in axes["STR"].get_xticklabels()] == ["100", "110", "120", "129", "139"]
    assert np.asarray(axes["all slices"].get_images()[0].get_array()).shape == (80, 80)
    labels = [str(line.get_label()) for line in axes["decay"].lines]
    assert labels[:3] == ["CTX", "STR", "mean"]
