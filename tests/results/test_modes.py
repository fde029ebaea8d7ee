"""Which values of a metric are better, in every place that asks."""

from __future__ import annotations

import pytest

from mtneuro_ray.config.space import mode_of
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.tasks import mode_of_run
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.tasks import TASKS
from tests.settings import run_settings


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("val/dataset/iou_mean", "max"),
        ("val/loss", "min"),
        ("val/surface_distance_mean", "min"),
        ("surface_distance", "min"),
        ("test/image/f1_mean", "max"),
    ],
)
def test_a_metric_says_which_values_are_better(metric: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend("examples/plugin")
    distance = "mtneuro_example.metric:SURFACE_DISTANCE"
    assert mode_of(metric, TASKS.find("segmentation"), [distance]) == mode
    run = run_settings(network={"evaluation": {"metrics": [distance]}})
    record = RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"))
    assert mode_of_run(Run.of(record), metric) == mode
