from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mtneuro_ray.config.pairs import check_pair
from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.engine import evaluation
from mtneuro_ray.engine.evaluation import constant_prediction, evaluate
from mtneuro_ray.errors import InputError
from mtneuro_ray.metrics.base import MetricDeclaration, PerImageMetric
from mtneuro_ray.storage.image_scores import ImageScores
from mtneuro_ray.tasks.training.base import build_task
from tests.engine.data import arrays, run_of
from tests.engine.threads import together
from tests.settings import cube

CPU = torch.device("cpu")
SURFACE = "examples.plugin.mtneuro_example.metric:SURFACE_DISTANCE"


class Brightness(nn.Module):
    """Logits of three classes by how bright a pixel is, as noisy data are made: (B, 1, Y, X) -> (B, 3, Y, X)."""

    def forward(self, images: Tensor) -> Tensor:
        grey = torch.tensor([60, 120, 180]).view(1, 3, 1, 1) / 255
        return -(images - grey).abs() * 20


class Other(PerImageMetric):
    """Of the same name as one of the task's own."""

    name = "confusion"

    def measure(self, prediction: Any, truth: Any, mask: Any) -> list[float]:
        return [1.0]


OTHER = MetricDeclaration(name="other", summary="", build=Other)


class Constant(nn.Module):
    """One class everywhere."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1).expand(len(images), 3, *images.shape[2:])


def measured(module: nn.Module, context: WorkerContext | None = None, **network: Any) -> dict[str, Any]:
    split = ResidentSplit(arrays(11, 0, masks=True), CPU)
    task = build_task(run_of("segmentation", **network))
    found: dict[str, Any] = evaluate(task, module, split, context or WorkerContext())
    return found


def scores_of(context: WorkerContext) -> tuple[ImageScores, dict[str, Any]]:
    """Scores and metrics of 11 images of two cubes in the order of the plan; the third has no voxel that counts."""
    tests = [cube(name, split="test", z=(low, low + count)) for name, low, count in (("A", 0, 5), ("B", 20, 6))]
    boxes = [cube(z=(30, 34)), *tests, cube(split="val", z=(40, 44))]
    run = run_of("segmentation", task={"cubes": boxes, "ignore_labels": [9]}, evaluation={"metrics": [SURFACE]})
    data = arrays(11, 0, masks=True)
    assert data.masks is not None
    data.masks[2] = IGNORED
    task = build_task(run)
    found = evaluation.measured(task, Brightness(), ResidentSplit(data, CPU), context)
    scores = evaluation.image_scores(task, "test", data, found)
    assert scores is not None
    metrics: dict[str, Any] = found.metrics
    return scores, metrics


def test_workers_that_share_the_images_measure_what_one_measures_to_the_bit() -> None:
    alone = measured(Brightness(), evaluation={"metrics": [SURFACE]})
    for found in together(lambda context: measured(Brightness(), context, evaluation={"metrics": [SURFACE]})):
        assert found == alone


def test_the_scores_of_single_images_have_their_places_and_add_up_to_the_metrics_for_any_number_of_workers() -> None:
    alone, metrics = scores_of(WorkerContext())
    assert alone.cubes.tolist() == [1] * 5 + [2] * 6
    assert alone.origins[:, 0].tolist() == [*range(5), *range(20, 26)]
    assert alone.rows["segmentation"].sum(0).tolist() == metrics["confusion"]
    assert not alone.rows["segmentation"][2].any()
    surface = alone.rows[SURFACE]
    assert np.isnan(surface[2]).all()
    assert np.nanmean(surface, axis=0) == pytest.approx(metrics["surface_distance"])
    for found, _ in together(scores_of):
        for name, rows in alone.rows.items():
            np.testing.assert_array_equal(found.rows[name], rows)


def test_a_metric_of_another_package_stands_beside_the_task_s_own_and_is_measured_by_region() -> None:
    found, own = measured(Brightness(), evaluation={"metrics": [SURFACE]}), measured(Brightness())
    assert found["regions"].keys() == {"A", "B"}
    for metrics, expected in ((found, own), *((found["regions"][name], own["regions"][name]) for name in "AB")):
        assert metrics.keys() - expected.keys() == {"surface_distance", "surface_distance_mean"}
        assert {name: metrics[name] for name in expected if name != "regions"} == {
            name: value for name, value in expected.items() if name != "regions"
        }
        assert len(metrics["surface_distance"]) == 3
        assert 0 < metrics["surface_distance_mean"] < 8
    assert found["surface_distance_mean"] != found["regions"]["A"]["surface_distance_mean"]


def test_a_metric_of_other_labels_is_refused_before_anything_is_trained() -> None:
    run = run_of("classification", evaluation={"metrics": [SURFACE]})
    with pytest.raises(InputError, match="does not measure a class per image, as a classification task has it; accep"):
        check_pair(run.task, run.network, "network.json")


def test_two_metrics_that_give_one_name_different_values_are_refused() -> None:
    with pytest.raises(InputError, match="two metrics are named 'confusion'; accepted: metrics with other names"):
        measured(Brightness(), evaluation={"metrics": ["tests.engine.test_evaluation:OTHER"]})


def test_the_best_constant_prediction_scores_what_it_is_measured_to_score() -> None:
    metrics, task = measured(Constant()), build_task(run_of("segmentation"))
    truth = np.ravel(np.array(arrays(11, 0, masks=True).masks))
    shares = np.bincount(truth, minlength=3) / len(truth)
    best = constant_prediction(task, metrics)
    assert best is not None
    assert best[0] == task.run.task.classes[int(shares.argmax())]
    assert best[1] == pytest.approx(shares.max() / 3)
    assert metrics["dataset/iou_mean"] <= best[1] < measured(Brightness())["dataset/iou_mean"]
