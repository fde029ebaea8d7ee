"""Records of runs with chosen numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.run import Role, RunSettings
from mtneuro_ray.storage.records import RunRecord
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


PHANTOM = (
    "phantom://thalamocortical/image?seed=0&version=1",
    "phantom://thalamocortical/pixel_labels?seed=0&version=1",
)
THREE = (0.9, 0.6, 0.7)
FOUR = (0.9, 0.6, 0.7, 0.8)


def benchmark_record(
    iou: tuple[float, ...] = THREE,
    *,
    dim: int = 2,
    role: Role = "final",
    task: dict[str, Any] | None = None,
    data: tuple[str, ...] = PHANTOM,
    val: float = 0.5,
    **network: Any,
) -> RunRecord:
    """A run of the benchmark's own Task 2 with as many classes as there are values, at the paper's settings."""
    classes = len(iou)
    packaged, _ = load_task(f"task2_{dim}D_{classes}class", "phantom")
    settings = {
        "model": "UNet",
        "name": f"UNet_{dim}D_{classes}class",
        "dim": dim,
        "n_blocks": 4,
        "start_filters": 32,
        "epochs": 20,
        **network,
    }
    values = {**packaged.model_dump(mode="json"), **(task or {})}
    return segmentation_record(iou, role=role, task=values, data=data, val=val, classes=classes, **settings)


def with_regions(record: RunRecord, *, shift: float = 0.1) -> RunRecord:
    """The record with two regions, whose IoU lies above and below that of the whole split, and counts of classes."""
    classes = len(record.settings["task"]["classes"])
    test = record.metrics["test"]
    regions = {}
    for number, (name, sign) in enumerate((("CTX", 1), ("STR", -1))):
        values: dict[str, Any] = {"images": 50.0 + number, "loss": 0.5, "confusion": test["confusion"]}
        for key, value in test.items():
            if isinstance(value, list) and key != "confusion":
                values[key] = [part + sign * shift for part in value]
                values[f"{key}_mean"] = sum(values[key]) / len(value)
        regions[name] = values
    counts = {
        split: {"CTX": [97 * scale, 2 * scale, scale, 0][:classes], "STR": [scale] * classes}
        for split, scale in (("train", 10), ("val", 1), ("test", 2))
    }
    return replace(record, metrics={**record.metrics, "test": {**test, "regions": regions}}, class_counts=counts)


def classification_record(accuracy: float, seed: int, **network: Any) -> RunRecord:
    run = run_settings(
        task={"kind": "classification", "name": "regions", "classes": ["A", "B"]},
        network={"model": "ResNet-18", "name": "res", "classes": 2, "seed": seed, **network},
    )
    test = {"accuracy": accuracy, "balanced_accuracy": accuracy / 2, "f1_mean": accuracy / 4}
    values = {"val": {"accuracy": 0.9}, "test": {**test, "confusion": [[3, 1], [0, 4]]}}
    return RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"), values)


_ENCODERS = {
    "Supervised": "SUP_ResNet-18_2D",
    "Sup w/ Mixup": "SUP_Mixup_ResNet-18_2D",
    "BYOL": "SSL_BYOL_ResNet-18_2D",
    "MYOW": "SSL_MYOW_ResNet-18_2D",
    "MYOW-m": "SSL_MYOWMerged_ResNet-18_2D",
    "PCA": "PCA",
    "NMF": "NMF",
    "Random_ResNet-18_2D": "Random_ResNet-18_2D",
}


def encoder_run(
    setting: str,
    method: str,
    *,
    preset: str | None = None,
    role: Role = "final",
    data: tuple[str, ...] = PHANTOM,
    **network: Any,
) -> RunSettings:
    """A run of the benchmark's Task 1 or 3 at the paper's settings, or at those of a preset."""
    changes = {"eval_crops": "corners", **({"mixup_probability": 0.3} if method == "Sup w/ Mixup" else {}), **network}
    pair = load_pair(setting, _ENCODERS[method], volume="phantom", preset=preset, changes=changes)
    source = None if pair.encoder is None else RunSettings.of(pair.encoder.task, pair.network, "final", data)
    return RunSettings.of(pair.task, pair.network, role, data, source)


def encoder_record(accuracy: float, setting: str = "task1", method: str = "Supervised", **changes: Any) -> RunRecord:
    """A finished run of Task 1 whose balanced accuracy is 0.1 below its accuracy, which a candidate has on
    validation."""
    run = encoder_run(setting, method, **changes)
    values = {"accuracy": accuracy, "balanced_accuracy": accuracy - 0.1, "f1_mean": accuracy, "loss": 1.0}
    metrics = {"val": values} if run.role == "candidate" else {"test": {**values, "confusion": [[1] * 4] * 4}}
    return RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"), metrics)


def readout_record(r2: float, setting: str = "task3", method: str = "Supervised", **changes: Any) -> RunRecord:
    """A finished readout of which each attribute is 0.1 below the one before it, and 0.2 less on held-out slices."""
    run = encoder_run(setting, method, **changes)
    keys = ("vessels", "axons", "cell_count", "cell_size", "cell_distance")
    whole = {f"r2/{key}": r2 - number / 10 for number, key in enumerate(keys)}
    metrics = {
        split: {key: value - less for key, value in whole.items()} for split, less in (("all", 0), ("test", 0.2))
    }
    return RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"), metrics)
