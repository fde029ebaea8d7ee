"""Records of runs with chosen numbers."""

from __future__ import annotations

from typing import Any

from mtneuro_ray.config.run import Role
from mtneuro_ray.results.record import RunRecord
from tests.settings import run_settings


def segmentation_record(
    iou: tuple[float, ...] = (0.5, 0.25, 0.0),
    *,
    role: Role = "final",
    task: dict[str, Any] | None = None,
    data: tuple[str, ...] = ("phantom:image", "phantom:labels"),
    val: float = 0.5,
    **network: Any,
) -> RunRecord:
    """A finished run whose F1 is IoU + 0.1 and whose image values are the dataset's - 0.01."""
    run = run_settings(task=task, network=network, role=role, data=data)
    test: dict[str, Any] = {"confusion": [[1] * len(iou)] * len(iou), "loss": 0.5}
    for reduction, shift in (("dataset", 0.0), ("image", -0.01)):
        for name, more in (("iou", 0.0), ("f1", 0.1)):
            values = [value + shift + more for value in iou]
            test[f"{reduction}/{name}"] = values
            test[f"{reduction}/{name}_mean"] = sum(values) / len(values)
    metrics = {"val": {"dataset/iou_mean": val, "loss": 1.0 - val}}
    if role == "final":
        metrics["test"] = test
    return RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"), metrics, timings={"total_s": 1.5})


def classification_record(accuracy: float, seed: int, **network: Any) -> RunRecord:
    run = run_settings(
        task={"kind": "classification", "name": "regions", "classes": ["A", "B"]},
        network={"model": "ResNet-18", "name": "res", "classes": 2, "seed": seed, **network},
    )
    test = {"accuracy": accuracy, "balanced_accuracy": accuracy / 2, "f1_mean": accuracy / 4}
    values = {"val": {"accuracy": 0.9}, "test": {**test, "confusion": [[3, 1], [0, 4]]}}
    return RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"), values)
