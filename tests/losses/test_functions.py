from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from segmentation_models_pytorch import losses as smp_losses
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional as F

from mtneuro_ray.errors import InputError
from mtneuro_ray.losses import LOSSES
from mtneuro_ray.losses.functions import build_loss, class_weights

NAMES = [*LOSSES.names(), "cross_entropy+dice"]


def random_batch(*spatial: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, *spatial, generator=generator)
    return logits, torch.randint(0, 4, (5, *spatial), generator=generator)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spatial", [(), (6, 4), (2, 6, 4)])
def test_losses_per_sample_do_not_depend_on_the_batch(name: str, spatial: tuple[int, ...]) -> None:
    logits, target = random_batch(*spatial)
    loss = build_loss(name)
    whole = loss(logits, target)
    assert whole.shape == (5,)
    parts = torch.cat([loss(logits[:3], target[:3]), loss(logits[3:], target[3:])])
    torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_has_no_loss_and_can_be_differentiated(name: str) -> None:
    logits = torch.empty(0, 4, 6, 4, requires_grad=True)
    loss = build_loss(name)(logits, torch.empty(0, 6, 4, dtype=torch.int64))
    assert loss.shape == (0,)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient.shape == logits.shape


@pytest.mark.parametrize("name", NAMES)
def test_a_confident_right_answer_costs_next_to_nothing(name: str) -> None:
    _, target = random_batch(6, 4)
    logits = 40.0 * F.one_hot(target, 4).movedim(-1, 1).float() - 20.0
    assert build_loss(name)(logits, target).abs().max() < 1e-3
    assert build_loss(name)(-logits, target).min() > 0.5


def test_cross_entropy_equals_that_of_torch() -> None:
    logits, target = random_batch(6, 4)
    torch.testing.assert_close(build_loss()(logits, target).mean(), F.cross_entropy(logits, target))


def test_combined_losses_are_sums() -> None:
    logits, target = random_batch(6, 4)
    for name in ("cross_entropy+dice", "focal+dice"):
        parts = sum(build_loss(part)(logits, target) for part in name.split("+"))
        torch.testing.assert_close(build_loss(name)(logits, target), parts)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("dice", smp_losses.DiceLoss("multiclass")), ("focal", smp_losses.FocalLoss("multiclass", gamma=2.0))],
)
def test_one_sample_equals_the_library(name: str, reference: torch.nn.Module) -> None:
    logits, target = random_batch(6, 4)
    torch.testing.assert_close(build_loss(name)(logits[:1], target[:1])[0], reference(logits[:1], target[:1]))


def test_class_weights_multiply_the_pixels_of_their_class() -> None:
    logits, target = random_batch(6, 4)
    plain = F.cross_entropy(logits, target, reduction="none")
    weighted = (plain * torch.tensor([1.0, 2.0, 0.0, 0.5])[target]).mean((1, 2))
    loss = build_loss("cross_entropy", class_weights=[1.0, 2.0, 0.0, 0.5])
    torch.testing.assert_close(loss(logits, target), weighted)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    truth = np.repeat([0, 2, 3], [90, 7, 3])
    expected = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=truth)
    weights = class_weights("balanced", [90, 0, 7, 3])
    assert weights is not None
    np.testing.assert_allclose(weights, [expected[0], 0, *expected[1:]])


def test_median_frequency_weights_give_the_median_class_one() -> None:
    assert class_weights("median_frequency", [80, 10, 5, 0]) == [10 / 80, 1, 2, 0]
    assert class_weights("none", [1, 2]) is None


def test_a_sum_gives_the_weights_to_the_parts_that_take_them() -> None:
    logits, target = random_batch(6, 4)
    weights = [1.0, 2.0, 0.0, 0.5]
    expected = build_loss("cross_entropy", weights)(logits, target) + build_loss("dice")(logits, target)
    torch.testing.assert_close(build_loss("dice+cross_entropy", weights)(logits, target), expected)


def test_what_is_not_known_is_refused_with_what_is() -> None:
    with pytest.raises(InputError, match=r"'hinge' is unknown; accepted: cross_entropy, dice, focal"):
        build_loss("cross_entropy+hinge")
    with pytest.raises(InputError, match="'focal\\+dice' takes none; accepted with: cross_entropy"):
        build_loss("focal+dice", class_weights=[1.0, 1.0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spatial", [(6, 4), (2, 6, 4)])
def test_a_pixel_that_does_not_count_has_no_part_in_a_loss(name: str, spatial: tuple[int, ...]) -> None:
    logits, target = random_batch(*spatial)
    mask = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[3] = False
    weights = [0.5, 1.0, 2.0, 3.0] if "cross_entropy" in name else None
    loss, unmasked = build_loss(name, weights, masked=True), build_loss(name, weights)
    logits.requires_grad_()
    losses = loss(logits, target, mask)
    [gradient] = torch.autograd.grad(losses.sum(), logits)
    assert losses[3] == 0
    assert gradient.isfinite().all()
    assert gradient.movedim(1, -1)[mask].abs().sum() > 0
    assert not gradient.movedim(1, -1)[~mask].any()
    other = torch.where(mask, target, (target + 1) % 4)
    assert torch.equal(loss(logits, other, mask), losses)
    # The loss of the pixels that count, by themselves.
    for number in (0, 1, 2, 4):
        kept = logits[number].movedim(0, -1)[mask[number]].T[None], target[number][mask[number]][None]
        torch.testing.assert_close(unmasked(*kept)[0], losses[number])
    torch.testing.assert_close(loss(logits, target, torch.ones_like(mask)), unmasked(logits, target))


def test_a_loss_that_knows_no_mask_is_refused_where_voxels_may_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES._found, "focal", replace(LOSSES.find("focal"), takes_mask=False))
    build_loss("focal+dice")
    with pytest.raises(InputError, match=r"loss.name: 'focal\+dice' can't leave out .*: cross_entropy, dice$"):
        build_loss("focal+dice", masked=True)
