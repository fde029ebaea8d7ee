from __future__ import annotations

import pytest
import torch
from torch import nn

from mtneuro_ray.models.dropout import DropoutKey, GlobalChannelDropout, GlobalDropout, set_dropout_key


def key(step: int = 0, start: int = 0, total: int = 6, seed: int = 3) -> DropoutKey:
    return DropoutKey(seed=seed, step=step, start=start, total=total)


@pytest.mark.parametrize("layer", [GlobalDropout(0.5), GlobalChannelDropout(0.5)])
@pytest.mark.parametrize("cut", [0, 2, 6])
def test_masks_do_not_depend_on_the_division_of_a_batch(layer: GlobalDropout, cut: int) -> None:
    features = torch.rand(6, 5, 2, 3, 4) + 1
    set_dropout_key(layer, key())
    whole = layer(features)
    parts = []
    for start, rows in ((0, features[:cut]), (cut, features[cut:])):
        set_dropout_key(layer, key(start=start))
        parts.append(layer(rows))
    assert torch.equal(torch.cat(parts), whole)


def test_elements_are_dropped_at_the_rate_and_scaled() -> None:
    layer = GlobalDropout(0.2)
    set_dropout_key(layer, key(total=100))
    dropped = layer(torch.ones(100, 1000))
    assert dropped.unique().tolist() == [0.0, 1.25]
    assert (dropped == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)


def test_whole_channels_are_dropped() -> None:
    layer = GlobalChannelDropout(0.5)
    set_dropout_key(layer, key(total=8))
    dropped = layer(torch.ones(8, 64, 3, 4, 5)).flatten(2)
    assert torch.equal(dropped.amin(2), dropped.amax(2))
    assert 0.4 < (dropped == 0).float().mean() < 0.6


def test_masks_differ_between_steps_seeds_and_layers() -> None:
    model = nn.ModuleList([GlobalDropout(0.5), GlobalDropout(0.5)])
    features = torch.ones(6, 100)
    masks = []
    for dropout_key in (key(), key(step=1), key(seed=4)):
        set_dropout_key(model, dropout_key)
        masks += [layer(features) for layer in model]
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 6


def test_evaluation_and_probability_zero_change_nothing() -> None:
    features = torch.rand(3, 4)
    assert GlobalDropout(0.5).eval()(features) is features
    assert GlobalDropout(0.0)(features) is features


def test_training_without_a_key_or_beyond_its_batch_is_an_error() -> None:
    layer = GlobalDropout(0.5)
    with pytest.raises(RuntimeError, match="set_dropout_key"):
        layer(torch.ones(2, 2))
    set_dropout_key(layer, key(start=5, total=6))
    with pytest.raises(RuntimeError, match="rows 5 to 7 lie outside a batch of 6"):
        layer(torch.ones(2, 2))


def test_probability_one_is_refused() -> None:
    with pytest.raises(ValueError, match="accepted: 0 <= p < 1"):
        GlobalDropout(1.0)


def test_gradient_passes_through_the_mask() -> None:
    layer = GlobalDropout(0.5)
    set_dropout_key(layer, key())
    features = torch.ones(6, 4, requires_grad=True)
    dropped = layer(features)
    (gradient,) = torch.autograd.grad(dropped.sum(), features)
    assert torch.equal(gradient, dropped)
