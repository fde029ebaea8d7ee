from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest
from torch import Tensor

from mtneuro_ray.data.augment import OPS, augment_pairs, cut_crops, draw_crops, draw_mixup, draw_ops


def numbered(*shape: int) -> tuple[Tensor, Tensor]:
    """Images in which every pixel differs, and a mask that is a function of them."""
    image = torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape)
    return image, mask_of(image)


def mask_of(image: Tensor) -> Tensor:
    return (image[:, 0] % 7).to(torch.uint8)


@pytest.mark.parametrize(
    ("shape", "symmetries"),
    [((OPS, 2, 6, 6), 8), ((OPS, 1, 4, 6, 6), 16), ((OPS, 1, 6, 4), 4), ((OPS, 1, 4, 6, 8), 8)],
)
def test_pairs_stay_aligned_in_every_symmetry(shape: tuple[int, ...], symmetries: int) -> None:
    one, _ = numbered(1, *shape[1:])
    image = one.expand(shape)
    turned, mask = augment_pairs(image, mask_of(image), torch.arange(OPS))
    assert torch.equal(mask, mask_of(turned))
    assert mask.dtype == torch.uint8
    assert torch.equal(turned.flatten(2).sort().values, image.flatten(2).sort().values)
    assert len({tuple(sample.flatten().tolist()) for sample in turned}) == symmetries


def test_the_eight_symmetries_of_the_square_are_flips_and_rotations() -> None:
    one, _ = numbered(1, 1, 5, 5)
    image = one.expand(8, 1, 5, 5)
    turned, _ = augment_pairs(image, mask_of(image), torch.arange(8))
    rotations = [np.rot90(one[0, 0].numpy(), k) for k in range(4)]
    expected = rotations + [rotation[::-1] for rotation in rotations]
    assert {t.numpy().tobytes() for t in turned} == {np.ascontiguousarray(e).tobytes() for e in expected}


def test_operation_zero_changes_nothing() -> None:
    image, mask = numbered(2, 1, 4, 4)
    same_image, same_mask = augment_pairs(image, mask, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(same_image, image)
    assert torch.equal(same_mask, mask)


def test_an_empty_batch_stays_empty() -> None:
    image, mask = augment_pairs(torch.empty(0, 1, 4, 4), torch.empty(0, 4, 4), draw_ops(0, 0, []))
    assert image.shape == (0, 1, 4, 4)
    assert mask.shape == (0, 4, 4)


def test_image_and_mask_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        augment_pairs(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 5), torch.zeros(2, dtype=torch.int64))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20), st.integers(0, 1000), st.integers(0, 50))
def test_draws_do_not_depend_on_the_division_of_a_batch(samples: list[int], seed: int, epoch: int) -> None:
    whole = draw_ops(seed, epoch, samples)
    cut = len(samples) // 2
    assert torch.equal(torch.cat([draw_ops(seed, epoch, samples[:cut]), draw_ops(seed, epoch, samples[cut:])]), whole)


def test_draws_are_uniform_and_independent_of_each_other() -> None:
    samples = np.arange(16_000)
    first = draw_ops(1, 0, samples)
    for other in (draw_ops(1, 1, samples), draw_ops(2, 0, samples), draw_ops(0, 1, samples), first.roll(1)):
        pairs = torch.bincount(first * OPS + other, minlength=OPS**2)
        # 62.5 expected in each of 256 cells; chi-square has mean 255 and standard deviation 22.6.
        assert ((pairs - 62.5).square() / 62.5).sum() < 255 + 5 * 22.6


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=8),
    st.integers(0, 1000),
    st.integers(0, 50),
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
)
def test_crops_are_slices_of_half_the_side(samples: list[int], seed: int, epoch: int, shape: tuple[int, int]) -> None:
    images, _ = numbered(len(samples), 1, *shape)
    corners = draw_crops(seed, epoch, samples, shape)
    height, width = shape[0] // 2, shape[1] // 2
    crops = cut_crops(images, torch.stack([corners, torch.zeros_like(corners)]))
    assert crops.shape == (2 * len(samples), 1, height, width)
    for image, (row, column), crop in zip(images, corners.tolist(), crops, strict=False):
        assert torch.equal(crop, image[:, row : row + height, column : column + width])
    assert torch.equal(crops[len(samples) :], images[..., :height, :width])


def test_crops_are_uniform_over_all_places_and_independent_of_symmetries() -> None:
    samples = np.arange(24_000)
    corners = draw_crops(3, 5, samples, (4, 7))
    # 3 rows by 5 columns by 16 symmetries: 100 expected in each of 240 cells; mean 239, standard deviation 21.9.
    cells = torch.bincount((corners[:, 0] * 5 + corners[:, 1]) * OPS + draw_ops(3, 5, samples), minlength=240)
    assert len(cells) == 240
    assert ((cells - 100.0).square() / 100.0).sum() < 239 + 5 * 21.9
    assert not torch.equal(corners, draw_crops(3, 6, samples, (4, 7)))


def test_batches_are_mixed_with_their_probability_and_by_seed_and_step_alone() -> None:
    steps = range(2000)
    mixed = [draw_mixup(7, step, 6, 0.3, 1.0) for step in steps]
    # Standard deviation of the share: 0.01.
    assert abs(sum(each is not None for each in mixed) / len(steps) - 0.3) < 0.05
    for step, found in zip(steps[:50], mixed, strict=False):
        again = draw_mixup(7, step, 6, 0.3, 1.0)
        assert (found is None) == (again is None)
        if found is not None and again is not None:
            assert (found.lambda_, found.partners.tolist()) == (again.lambda_, again.partners.tolist())
    assert all(draw_mixup(7, step, 6, 0.0, 1.0) is None for step in steps[:50])
    assert all(draw_mixup(7, step, 6, 1.0, 1.0) is not None for step in steps[:50])
    shares = {mixup.lambda_ for seed in range(9) if (mixup := draw_mixup(seed, 0, 6, 1.0, 1.0)) is not None}
    assert len(shares) == 9


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_are_beta_distributed_and_partners_a_permutation(alpha: float) -> None:
    drawn = [mixup for step in range(1500) if (mixup := draw_mixup(1, step, 5, 1.0, alpha)) is not None]
    assert kstest([mixup.lambda_ for mixup in drawn], beta(alpha, alpha).cdf).pvalue > 1e-3
    assert {tuple(sorted(mixup.partners.tolist())) for mixup in drawn} == {(0, 1, 2, 3, 4)}


def test_each_image_is_the_partner_of_each_other_as_often() -> None:
    drawn = [mixup.partners for step in range(2000) if (mixup := draw_mixup(1, step, 5, 1.0, 1.0)) is not None]
    counts = np.stack([np.bincount(column, minlength=5) for column in np.stack(drawn).T])
    # 400 expected in each of 25 cells; of permutations chi-square has mean 20 and standard deviation about 8.
    assert ((counts - 400) ** 2 / 400).sum() < 20 + 5 * 8


def test_a_more_probable_mixup_mixes_the_same_steps_in_the_same_way_and_more() -> None:
    for step in range(200):
        rarely, often = draw_mixup(3, step, 6, 0.2, 0.5), draw_mixup(3, step, 6, 0.7, 0.5)
        if rarely is not None:
            assert often is not None
            assert (rarely.lambda_, rarely.partners.tolist()) == (often.lambda_, often.partners.tolist())


def test_mixup_draws_from_another_stream_than_the_order_of_an_epoch() -> None:
    for key in range(20):
        order = np.random.Generator(np.random.Philox(key=np.array([2, key], np.uint64)))
        order.random()
        mixup = draw_mixup(2, key, 6, 1.0, 0.5)
        assert mixup is not None
        assert mixup.lambda_ != order.beta(0.5, 0.5)


def test_crops_are_the_same_place_in_all_channels_and_slices() -> None:
    images = torch.arange(2 * 3 * 2 * 6 * 8, dtype=torch.int16).view(2, 3, 2, 6, 8)
    corners = torch.tensor([[[0, 4], [3, 1]], [[2, 2], [1, 0]]])
    cut = cut_crops(images, corners)
    assert cut.shape == (4, 3, 2, 3, 4)
    for row, (view, image) in enumerate(np.ndindex(2, 2)):
        y, x = corners[view, image].tolist()
        assert torch.equal(cut[row], images[image, :, :, y : y + 3, x : x + 4])
