import math
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.search_axes import Axis, Range, resolved, searchable
from mtneuro_ray.config.space import SearchSettings
from tests.config.checks import refused
from tests.settings import network_settings

RATE = {"low": 1e-4, "high": 0.1, "log": True}
BATCH = {"low": 2, "high": 8, "step": 2}


def load(axes: dict[str, Any], sampler: str = "random", trials: int | None = 5, **keys: Any) -> SearchSettings:
    """A search whose axes are resolved against a network that has their keys."""
    values = {"axes": axes, "sampler": sampler, "trials": trials, **keys}
    search = SearchSettings.load({key: value for key, value in values.items() if value is not None}, "s.toml")
    return search.model_copy(update={"axes": resolved(network_of(axes), search.axes, "s.toml")})


def network_of(axes: dict[str, Any]) -> NetworkSettings:
    """A network that has the keys of some axes."""
    keys = {key.rpartition(".")[2] for key in axes}
    if any(key.startswith("method.") for key in axes):
        return network_settings(model="ResNet-18", method="byol")
    if keys & {"dropout", "latent_dim"}:
        return network_settings(model="ResNet-18")
    return network_settings(model="FPN") if "encoder_name" in keys else network_settings()


def test_an_axis_is_a_list_or_a_range_and_survives_being_written() -> None:
    search = load({"learning_rate": RATE, "optimizer": ["SGD", "Adam"], "batch_size": BATCH}, round=None)
    assert search.axes == {
        "learning_rate": Range(low=1e-4, high=0.1, log=True),
        "optimizer.name": ("SGD", "Adam"),
        "batch_size": Range(low=2.0, high=8.0, step=2, whole=True),
    }
    assert list(search.axes) == ["learning_rate", "optimizer.name", "batch_size"]
    assert SearchSettings.load(search.model_dump(mode="json"), "again") == search


@pytest.mark.parametrize(
    ("key", "axis", "parts"),
    [
        ("learning_rate", {}, [".low: is missing"]),
        ("learning_rate", {"low": 0.1}, [".high: is missing"]),
        ("learning_rate", {**RATE, "lo": 1}, [".lo: unknown key", "high, log, low, step"]),
        ("learning_rate", {**RATE, "low": "0.1"}, [".low: is '0.1'", "a valid number"]),
        ("learning_rate", {**RATE, "low": True}, [".low: is True", "a valid number"]),
        ("learning_rate", {**RATE, "high": math.inf}, [".high: is inf", "a finite number"]),
        ("learning_rate", {**RATE, "low": math.nan}, [".low: is nan", "a finite number"]),
        ("learning_rate", {**RATE, "log": 1}, [".log: is 1", "a valid boolean"]),
        ("learning_rate", {**RATE, "low": 0}, [".low: is 0, which has no logarithm", "more than 0"]),
        ("learning_rate", {**RATE, "low": 0.1}, [".high: is 0.1, not above low", "more than 0.1"]),
        ("learning_rate", {**RATE, "high": 1e300}, [".high: is 1e+300"]),
        ("learning_rate", {**RATE, "step": 1}, [".step: belongs to whole numbers", "a list"]),
        ("batch_size", {**BATCH, "step": 0}, [".step: is 0"]),
        ("batch_size", {**BATCH, "step": 0.5}, [".step: is 0.5"]),
        ("batch_size", {**BATCH, "low": 2.5}, [".low: is 2.5", "a whole number"]),
        ("batch_size", {**BATCH, "high": 7.5}, [".high: is 7.5", "a whole number"]),
        ("batch_size", {"low": 2, "high": 64, "log": True}, [".log: is not for whole numbers", "a list"]),
        ("batch_size", {"low": 1, "high": 1e9}, [".step: leaves 1000000000 values", "at most 256"]),
        ("optimizer", {"low": 0, "high": 1}, [": is a range, which this key can't be", "a list"]),
        ("augmentations", {"low": 0, "high": 1}, [": is a range, which this key can't be", "a list"]),
        ("encoder_name", {"low": 0, "high": 1}, [": is a range, which this key can't be", "a list"]),
        ("rate", [1], [": rate: unknown key of UNet with supervised", "learning_rate"]),
        ("method.depth", [1], [": method.depth: unknown key of ResNet-18 with byol", "method.epochs"]),
        ("seed", BATCH, [": can't be searched", "learning_rate"]),
        ("name", ["a"], [": can't be searched", "learning_rate"]),
        ("learning_rate", [], [": is []"]),
        ("learning_rate", [0.1, 0.1], [": a value stands twice", "distinct"]),
        ("learning_rate", [0.1, None], [".1"]),
        ("learning_rate", [[0.1]], [".0"]),
        ("learning_rate", 0.1, [": is 0.1"]),
        ("learning_rate", "all", [": is 'all'"]),
        ("learning_rate", None, [": is None"]),
    ],
)
def test_a_bad_axis_is_one_line_that_names_it(key: str, axis: Any, parts: list[str]) -> None:
    with refused(f"axes.{key}{parts[0]}", *parts[1:]):
        load({key: axis})


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ({"sampler": "grid", "trials": None}, ["search.axes.learning_rate: is a range", "'random' or 'tpe'"]),
        ({"sampler": "random", "trials": None}, ["search.trials: is missing; a range requires it"]),
        ({"sampler": "tpe", "trials": None}, ["search.trials: is missing; tpe requires it"]),
        ({"sampler": "tpe", "trials": 0}, ["trials: is 0"]),
        ({"sampler": "tpe", "round": 0}, ["round: is 0"]),
        ({"sampler": "random", "round": 2}, ["search.round: has no meaning for random", "leave it out"]),
    ],
)
def test_keys_that_do_not_fit_the_sampler_are_refused(keys: dict[str, Any], parts: list[str]) -> None:
    with refused(*parts):
        load({"learning_rate": RATE}, **keys)


def test_tpe_needs_its_trials_for_lists_too() -> None:
    with refused("search.trials: is missing; tpe requires it"):
        load({"learning_rate": [0.1]}, "tpe", None)


@pytest.mark.parametrize("key", ["n_blocks", "start_filters", "latent_dim", "epochs", "batch_size"])
def test_a_range_of_a_key_that_counts_holds_whole_numbers(key: str) -> None:
    values = [candidate[key] for candidate in load({key: {"low": 2, "high": 4}}, trials=40).candidates]
    assert {type(value) for value in values} == {int}
    assert set(values) == {2, 3, 4}


@pytest.mark.parametrize("key", ["dropout", "beta1", "momentum", "weight_decay", "learning_rate"])
def test_a_range_of_a_key_that_measures_holds_all_numbers_even_between_whole_ends(key: str) -> None:
    values = [candidate[key] for candidate in load({key: {"low": 2, "high": 4}}, trials=40).candidates]
    assert {type(value) for value in values} == {float}
    assert len(values) > 30


def test_a_key_goes_by_its_path_or_its_last_part_and_is_shown_by_the_shortest_that_is_unique() -> None:
    assert list(load({"optimizer.learning_rate": [0.1], "n_blocks": [2]}).axes) == ["learning_rate", "n_blocks"]
    assert list(load({"method.epochs": [3]}).axes) == ["method.epochs"]
    with refused("search.axes.learning_rate: stands twice, by its path and by its last part"):
        load({"optimizer.learning_rate": [0.1], "learning_rate": [0.2]})


def test_every_searchable_key_may_be_a_list() -> None:
    network = network_settings(model="ResNet-18", method="byol")
    paths = searchable(network)
    assert {"method.epochs", "optimizer.epochs", "evaluation.eval_crops", "loss.class_weights"} <= set(paths)
    assert not {"name", "seed", "method.transform", "evaluation.metrics", "model.name"} & set(paths)
    axes: dict[str, Axis] = dict.fromkeys(paths, (1,))
    assert list(resolved(network, axes, "s").values()) == [(1,)] * len(paths)


def test_more_combinations_than_can_be_enumerated_are_refused() -> None:
    axes = {key: list(range(1, 101)) for key in ("batch_size", "epochs", "start_filters")}
    with refused("search.axes: have 1000000 combinations", "at most 100000"):
        load(axes, "grid", None)
    # Every value of a range of whole numbers is checked, so it counts as a list.
    ranges = {key: {"low": 1, "high": 200} for key in axes}
    with refused("search.axes: have 8000000 combinations", "larger steps"):
        load(ranges)
    assert len(load({**ranges, "epochs": [1], "batch_size": [1]}).checked_candidates) == 200


FLOATS = st.floats(min_value=1e-12, max_value=1e12)
SEEDS = st.integers(0, 2**32 - 1)


@given(low=FLOATS, high=FLOATS, log=st.booleans(), seed=SEEDS)
def test_drawn_numbers_lie_in_their_range_and_have_four_digits(low: float, high: float, log: bool, seed: int) -> None:
    assume(low < high)
    search = load({"learning_rate": {"low": low, "high": high, "log": log}}, trials=8, seed=seed)
    drawn = [candidate["learning_rate"] for candidate in search.candidates]
    assert 1 <= len(drawn) == len(set(drawn)) <= 8
    for value in drawn:
        assert isinstance(value, float)
        assert low <= value <= high
        assert value in (low, high) or float(f"{value:.4g}") == value


@given(low=st.integers(1, 50), count=st.integers(2, 9), step=st.integers(1, 7), rest=st.integers(0, 6), seed=SEEDS)
def test_drawn_whole_numbers_are_steps_from_the_lower_end(
    low: int, count: int, step: int, rest: int, seed: int
) -> None:
    high = low + step * (count - 1) + min(rest, step - 1)
    search = load({"batch_size": {"low": low, "high": high, "step": step}}, trials=60, seed=seed)
    steps = {low + step * number for number in range(count)}
    drawn = [candidate["batch_size"] for candidate in search.candidates]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) <= steps
    assert all(type(value) is int for value in drawn)
    assert {candidate["batch_size"] for candidate in search.checked_candidates} == steps


@given(fewer=st.integers(1, 20), more=st.integers(0, 20), seed=SEEDS)
def test_more_trials_keep_the_candidates_that_fewer_draw(fewer: int, more: int, seed: int) -> None:
    axes = {"learning_rate": RATE, "batch_size": BATCH, "optimizer": ["SGD", "Adam"]}
    first, longer = (load(axes, trials=trials, seed=seed).candidates for trials in (fewer, fewer + more))
    assert longer[: len(first)] == first


def test_a_logarithmic_range_is_even_over_the_decades() -> None:
    rates = [candidate["learning_rate"] for candidate in load({"learning_rate": RATE}, trials=600).candidates]
    linear = [
        candidate["learning_rate"]
        for candidate in load({"learning_rate": {**RATE, "log": False}}, trials=600).candidates
    ]
    shares = [sum(1e-4 * 10**d <= float(rate) < 1e-3 * 10**d for rate in rates) / len(rates) for d in range(3)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.06)
    assert sum(float(rate) < 0.01 for rate in linear) / len(linear) == pytest.approx(0.1, abs=0.05)


def test_seeds_draw_different_candidates() -> None:
    first, second = (load({"learning_rate": RATE}, seed=seed).candidates for seed in (0, 1))
    assert not {candidate["learning_rate"] for candidate in first} & {
        candidate["learning_rate"] for candidate in second
    }


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_checked_are_the_ends_of_ranges_with_every_other_value(sampler: str) -> None:
    search = load({"learning_rate": RATE, "batch_size": BATCH, "optimizer": ["SGD", "Adam"]}, sampler, round=None)
    expected = product((1e-4, 0.1), (2, 4, 6, 8), ("SGD", "Adam"))
    assert [tuple(candidate.values()) for candidate in search.checked_candidates] == list(expected)
    assert [tuple(candidate) for candidate in search.checked_candidates] == [
        ("learning_rate", "batch_size", "optimizer.name")
    ] * 16


def test_checked_are_the_trained_candidates_where_these_are_known() -> None:
    axes = {"learning_rate": [0.1, 0.01, 0.001], "batch_size": [2, 4]}
    grid = load(axes, "grid", None)
    assert grid.checked_candidates == grid.candidates
    assert grid.num_candidates == 6
    drawn = load(axes, "random", 3)
    assert drawn.checked_candidates == drawn.candidates
    assert drawn.num_candidates == 3
    proposed = load(axes, "tpe", 50)
    assert proposed.candidates == []
    assert proposed.checked_candidates == grid.candidates
    assert proposed.num_candidates == 50
