from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.config.loading import Pair
from mtneuro_ray.config.space import SweepSpace
from mtneuro_ray.results.record import RunRecord
from mtneuro_ray.search import Cell, Search
from tests.settings import network_settings, task_settings

AXES = {"learning_rate": [0.1, 0.01], "batch_size": [2, 4]}


def search_of(axes: dict[str, Any] | None = None, **changes: Any) -> Search:
    values = {"task": "t", "network": "n", "seeds": [1, 100], "search": {"axes": axes or AXES, "seed": 7}, **changes}
    [setting] = SweepSpace.load({"name": "s", "settings": [values]}, "s.toml").settings
    return Search.of(setting, Pair(task_settings(), network_settings(), Path("t"), Path("n")), ["image", "labels"])


def best_of(search: Search, values: list[float | str | None], metric: str = "dataset/iou_mean") -> Any:
    """The cell that is chosen where the cells end with these values; text is an error, None no run."""
    records = {}
    for plan, value in zip(search.cell_plans(), values, strict=True):
        run = plan.run
        if isinstance(value, str):
            records[run.run_id] = RunRecord.failed(run, value)
        elif value is not None:
            metrics = {"val": {metric: value}, "test": {metric: 1.0 - value}}
            settings = run.model_dump(mode="json")
            records[run.run_id] = RunRecord(run.run_id, "done", run.summary(), settings, metrics)
    return search.best_cell(records.get)


CELLS: list[Cell] = [{"learning_rate": lr, "batch_size": batch} for lr in (0.1, 0.01) for batch in (2, 4)]


def test_every_cell_is_planned_once_with_the_search_s_seed() -> None:
    plans = search_of().cell_plans()
    networks = [plan.run.network for plan in plans]
    assert [{"learning_rate": n.learning_rate, "batch_size": n.batch_size} for n in networks] == CELLS
    assert {network.seed for network in networks} == {7}
    assert {plan.run.role for plan in plans} == {"cell"}
    assert {plan.run.data for plan in plans} == {("image", "labels")}
    assert len({plan.run.run_id for plan in plans}) == 4


def test_a_cell_is_known_to_tune_by_its_setting_and_axes() -> None:
    search = search_of()
    assert search.name == "net/small"
    assert [plan.point for plan in search.cell_plans()] == [{"setting": "net/small", **cell} for cell in CELLS]
    assert str(search.cell_plans()[1]) == "net/small learning_rate=0.1 batch_size=4"


def test_finals_are_the_cell_with_every_seed() -> None:
    plans = search_of().final_plans(CELLS[2])
    assert [plan.run.network.seed for plan in plans] == [1, 100]
    assert {(p.run.role, p.run.network.learning_rate, p.run.network.batch_size) for p in plans} == {("final", 0.01, 2)}
    assert [plan.point["seed"] for plan in plans] == [1, 100]


def test_a_final_run_is_never_a_cell_even_at_the_search_s_seed() -> None:
    search = search_of(seeds=[7])
    [final] = search.final_plans(CELLS[0])
    assert final.run.network == search.cell_plans()[0].run.network
    assert final.run.run_id not in {plan.run.run_id for plan in search.cell_plans()}


def test_axes_may_be_any_keys_of_the_network() -> None:
    search = search_of({"optimizer": ["SGD", "Adam"], "augmentations": [True]})
    assert [(p.run.network.optimizer, p.run.network.augmentations) for p in search.cell_plans()] == [
        ("SGD", True),
        ("Adam", True),
    ]
    assert [plan.point["optimizer"] for plan in search.cell_plans()] == ["SGD", "Adam"]


NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ([0.1, 0.4, 0.3, 0.2], 1),
        ([0.1, 0.2, 0.3, 0.4], 3),
        ([0.4, 0.4, 0.4, 0.4], 0),
        ([0.1, 0.4, 0.4, 0.1], 1),
        ([NAN, 0.1, NAN, 0.2], 3),
        (["diverged", 0.1, None, 0.05], 1),
        ([-1.0, None, None, -2.0], 0),
        ([0.0, None, None, None], 0),
    ],
)
def test_the_cell_with_the_highest_validation_value_the_first_of_equals(
    values: list[float | str | None], chosen: int
) -> None:
    assert best_of(search_of(), values) == CELLS[chosen]


def test_the_lowest_value_where_the_mode_says_so() -> None:
    search = search_of(metric="val/loss", mode="min")
    assert best_of(search, [0.3, 0.1, NAN, 0.1], "loss") == CELLS[1]


def test_another_metric_than_the_default_is_read_where_it_is_set() -> None:
    assert best_of(search_of(metric="val/image/iou_mean"), [0.1, 0.2, 0.9, 0.3], "image/iou_mean") == CELLS[2]
    assert best_of(search_of(metric="val/image/iou_mean"), [0.1, 0.2, 0.9, 0.3]) is None


@pytest.mark.parametrize("values", [[None] * 4, ["diverged"] * 4, [NAN] * 4])
def test_no_cell_is_chosen_where_none_has_a_value(values: list[Any]) -> None:
    assert best_of(search_of(), values) is None


def test_the_default_metric_is_the_task_s() -> None:
    search = search_of()
    assert search.metric == "val/dataset/iou_mean"
    assert {plan.metric for plan in search.cell_plans()} == {"val/dataset/iou_mean"}
    task = task_settings("classification", annotation_chan=None)
    pair = Pair(task, network_settings(model="ResNet-18"), Path("t"), Path("n"))
    assert Search.of(search.space, pair, ["image"]).metric == "val/accuracy"
