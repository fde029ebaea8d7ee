from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.data.augment import augment_images
from mtneuro_ray.methods.self_supervised import SelfSupervisedSettings
from mtneuro_ray.methods.training.views import NUMBERS, ViewDraws, cut_views, shade_views

sides = st.integers(2, 13)


def ssl_of(*transforms: str, **changes: Any) -> SelfSupervisedSettings:
    return SelfSupervisedSettings.load(
        {"name": "byol", "transform": ["random_crop", *transforms], **changes}, "network.json"
    )


def numbers_of(seed: int, views: int, images: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).random((views, images, NUMBERS))


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    """Every pixel of every picture is another number, as far as bytes go."""
    return torch.randint(0, 256, (count, 1, height, width), generator=torch.Generator().manual_seed(0)).byte()


@given(st.integers(0, 9), st.integers(0, 4), st.integers(1, 3), sides, sides)
def test_a_view_is_a_window_of_half_the_sides_within_its_own_image(
    seed: int, count: int, views: int, height: int, width: int
) -> None:
    images = pictures(count, height, width)
    draws = ViewDraws.of(numbers_of(seed, views, count), (height, width), ssl_of())
    cut = cut_views(images, draws)
    assert cut.shape == (views * count, 1, height // 2, width // 2)
    assert cut.dtype == torch.uint8
    for row, (view, image) in enumerate(np.ndindex(views, count)):
        top, left = draws.corners[view, image].tolist()
        assert 0 <= top <= height - height // 2
        assert 0 <= left <= width - width // 2
        window = images[image, :, top : top + height // 2, left : left + width // 2]
        assert torch.equal(cut[row], window)


def test_every_position_is_as_likely_and_both_ends_are_reached() -> None:
    draws = ViewDraws.of(numbers_of(0, 2, 5000), (8, 6), ssl_of())
    rows, columns = draws.corners.flatten(0, 1).unbind(1)
    cells = torch.bincount(rows * 4 + columns, minlength=20)
    assert len(cells) == 5 * 4
    # 500 expected in each of 20 cells; chi-square has mean 19 and standard deviation 6.2.
    assert ((cells - 500).square() / 500).sum() < 19 + 5 * 6.2


def test_the_largest_number_is_still_a_place_in_the_image() -> None:
    last = np.full((1, 1, NUMBERS), np.nextafter(1, 0))
    draws = ViewDraws.of(last, (256, 7), ssl_of("flip_rotate", trans_prob=1.0))
    assert draws.corners.tolist() == [[[128, 4]]]
    assert draws.symmetries is not None
    assert draws.symmetries.tolist() == [[7]]


@given(st.integers(0, 9), st.integers(2, 6), st.integers(0, 6))
def test_views_do_not_depend_on_how_a_batch_is_divided(seed: int, count: int, cut: int) -> None:
    ssl = ssl_of("flip_rotate", "grey")
    images, numbers = pictures(count, 8, 8), numbers_of(seed, 2, count)

    def views(rows: slice) -> torch.Tensor:
        draws = ViewDraws.of(numbers[:, rows], (8, 8), ssl)
        shaded = shade_views(cut_views(images[rows], draws).float(), draws)
        return shaded.view(2, len(images[rows]), 1, 4, 4)

    parts = torch.cat([views(slice(None, cut)), views(slice(cut, None))], dim=1)
    torch.testing.assert_close(parts, views(slice(None)))


def test_turned_views_are_symmetries_of_the_crop_that_is_cut_anyway() -> None:
    images, numbers = pictures(64, 8, 8), numbers_of(1, 2, 64)
    plain = cut_views(images, ViewDraws.of(numbers, (8, 8), ssl_of()))
    draws = ViewDraws.of(numbers, (8, 8), ssl_of("flip_rotate", trans_prob=1.0))
    turned = cut_views(images, draws)
    of_each = torch.stack([augment_images(plain, torch.full((128,), op)) for op in range(8)], dim=1)
    found = (of_each == turned.unsqueeze(1)).flatten(2).all(2)
    assert found.any(1).all()
    assert found.any(0).all()


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_transforms_are_applied_with_their_probability_and_apart(probability: float) -> None:
    draws = ViewDraws.of(numbers_of(2, 2, 4000), (8, 8), ssl_of("flip_rotate", "grey", trans_prob=probability))
    assert draws.symmetries is not None
    assert draws.greys is not None
    shaded = (draws.greys != torch.tensor([1.0, 0.0])).any(-1)
    # One symmetry in eight leaves a view as it is.
    turned = draws.symmetries != 0
    assert shaded.float().mean().item() == pytest.approx(probability, abs=0.02)
    assert turned.float().mean().item() == pytest.approx(7 / 8 * probability, abs=0.02)
    assert (turned & shaded).float().mean().item() == pytest.approx(7 / 8 * probability**2, abs=0.02)


def test_a_shaded_view_has_another_contrast_and_brightness() -> None:
    ssl = ssl_of("grey", trans_prob=1.0, grey_strength=0.4)
    inputs = pictures(20, 6, 6).float() / 255
    draws = ViewDraws.of(numbers_of(3, 1, 20), (12, 12), ssl)
    assert draws.greys is not None
    shaded = shade_views(inputs, draws)
    for before, after, (contrast, shift) in zip(inputs, shaded, draws.greys[0].tolist(), strict=True):
        assert 0.6 <= contrast <= 1.4
        assert -0.4 <= shift <= 0.4
        mean, std = before.mean(), before.std(correction=0)
        torch.testing.assert_close(after, (before - mean) * contrast + mean + shift * std)


def test_without_further_transforms_views_are_only_cut() -> None:
    inputs = torch.rand(4, 1, 4, 4)
    draws = ViewDraws.of(numbers_of(0, 2, 2), (8, 8), ssl_of(trans_prob=1.0))
    assert shade_views(inputs, draws) is inputs
    assert draws.symmetries is None
