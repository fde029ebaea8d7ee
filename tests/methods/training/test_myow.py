import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.methods.myow import MyowMergedSettings
from mtneuro_ray.methods.training.myow import choose_neighbours, draw_pool, mined_weight


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, list[int]]:
    """A split's length and distinct samples of it."""
    count = draw(st.integers(2, 30))
    return count, draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True))


@given(batches(), st.floats(0.05, 3.0), st.integers(0, 99))
def test_a_pool_holds_other_samples_where_there_are_enough(
    batch: tuple[int, list[int]], ratio: float, seed: int
) -> None:
    count, own = batch
    pool = draw_pool(np.random.default_rng(seed), count, np.array(own), ratio)
    size = max(2, math.ceil(ratio * len(own)))
    assert len(pool) == len(set(pool.tolist())) == min(size, count)
    assert set(pool.tolist()) <= set(range(count))
    outside = set(pool.tolist()) - set(own)
    assert len(outside) == min(len(pool), count - len(own))


def test_every_other_sample_gets_into_pools() -> None:
    own = np.arange(4)
    pools = [draw_pool(np.random.default_rng(seed), 12, own, 0.5) for seed in range(100)]
    assert {len(pool) for pool in pools} == {2}
    assert set(np.concatenate(pools).tolist()) == set(range(4, 12))


@given(st.data(), batches(), st.integers(1, 5), st.integers(0, 99))
def test_the_mined_view_is_one_of_the_nearest_by_brute_force_and_never_of_the_sample_itself(
    data: st.DataObject, batch: tuple[int, list[int]], neighbours: int, seed: int
) -> None:
    count, own = batch
    random = np.random.default_rng(seed)
    pool_samples = draw_pool(random, count, np.array(own), 0.5)
    views = np.repeat(own, 2)
    queries, pool = random.normal(size=(len(views), 3)), random.normal(size=(len(pool_samples), 3))
    # As it may happen to a sample's own crop: it is the nearest by far.
    for row, sample in enumerate(pool_samples):
        pool[row] = 5 * queries[own.index(sample) * 2] if sample in own else pool[row]
    choices = np.array(data.draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=len(views), max_size=len(views))))
    asked, asked_samples = torch.from_numpy(queries), torch.from_numpy(views)
    searched, searched_samples = torch.from_numpy(pool), torch.from_numpy(pool_samples)
    rows = choose_neighbours(asked, asked_samples, searched, searched_samples, torch.from_numpy(choices), neighbours)
    for query, sample, choice, row in zip(queries, views, choices, rows.tolist(), strict=True):
        distances = [
            (1 - query @ other / np.linalg.norm(query) / np.linalg.norm(other), candidate)
            for candidate, other in enumerate(pool)
            if pool_samples[candidate] != sample
        ]
        nearest = [candidate for _, candidate in sorted(distances)]
        assert pool_samples[row] != sample
        assert row == nearest[int(choice * min(neighbours, len(pool) - 1))]


def test_each_of_the_nearest_is_chosen_as_often() -> None:
    angles = torch.tensor([0.1, 0.2, 0.3, 1.0, 2.0])
    pool = torch.stack([angles.cos(), angles.sin()], dim=1)
    queries = torch.tensor([[2.0, 0.0]]).expand(3000, 2)
    choices = torch.from_numpy(np.random.default_rng(0).random(3000))
    rows = choose_neighbours(queries, torch.full((3000,), 9), pool, torch.arange(5), choices, neighbours=3)
    shares = torch.bincount(rows, minlength=5) / 3000
    torch.testing.assert_close(shares, torch.tensor([1 / 3, 1 / 3, 1 / 3, 0, 0]), atol=0.03, rtol=0)


def test_autocast_does_not_blur_who_is_nearest() -> None:
    angles = torch.linspace(0, 0.1, 40)
    pool = torch.stack([angles.cos(), angles.sin()], dim=1)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = choose_neighbours(pool, torch.arange(40) + 40, pool[order], order, torch.zeros(40), neighbours=1)
    assert torch.equal(order[rows], torch.arange(40))


def settings_of(**changes: Any) -> MyowMergedSettings:
    return MyowMergedSettings(name="myow", **changes)


@pytest.mark.parametrize(("step", "weight"), [(0, 0.0), (7, 0.0), (8, 0.01), (12, 0.05), (17, 0.1), (1000, 0.1)])
def test_the_mined_term_comes_in_after_the_warm_up(step: int, weight: float) -> None:
    settings = settings_of(myow_base_weight=0.1, byol_warmup_epochs=4, myow_rampup_epochs=5)
    assert mined_weight(settings, step, steps_per_epoch=2) == pytest.approx(weight)


def test_without_a_ramp_the_mined_term_has_its_weight_at_once() -> None:
    settings = settings_of(myow_base_weight=1.0, byol_warmup_epochs=1, myow_rampup_epochs=0)
    assert [mined_weight(settings, step, 3) for step in range(5)] == [0, 0, 0, 1, 1]
