"""Output folders of final runs whose metrics follow from the scores of single images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mtneuro_ray.data.sampling import numbered_samples
from mtneuro_ray.metrics.base import Counts
from mtneuro_ray.metrics.segmentation import SegmentationMetric
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.image_scores import ImageScores
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.settings import cube, run_settings

SLICES = 24
TASK = {
    "cubes": [
        cube(z=(200, 204)),
        cube(split="val", z=(210, 212)),
        *(
            cube(name, split="test", z=(0, SLICES), x=[64 * n, 64 * n + 16])
            for n, name in enumerate(("A", "B", "C", "D"))
        ),
    ]
}
IMAGES = 4 * SLICES


def confusions(error: float, seed: int = 0, images: int = IMAGES) -> Counts:
    """Confusions (N, 3, 3) of images of 256 voxels in which about this share is wrong, more in some images."""
    random = np.random.default_rng(seed)
    counts = np.zeros((images, 3, 3), np.int64)
    hard = np.random.default_rng(99).uniform(0.5, 1.5, images)
    for truth, voxels in enumerate((160, 64, 32)):
        wrong = random.binomial(voxels, np.clip(error * hard, 0, 1))
        counts[:, truth, truth] = voxels - wrong
        counts[:, truth, (truth + 1) % 3] = wrong
    return counts


def write_run(
    out: Path, counts: Counts, *, scores: bool = True, task: dict[str, Any] | None = None, **network: Any
) -> RunRecord:
    """A final run with these confusions of its test images, in the order of the plan."""
    run = run_settings({**TASK, **(task or {})}, network)
    metrics = {"test": {**SegmentationMetric(run.task).of(counts), "loss": 1.0}}
    record = RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"), metrics)
    RunFolder(Folder(out)).write(record)
    if scores:
        plan = numbered_samples(run.task, "test")
        origins = np.array([sample.roi.origin for _, sample in plan])
        cubes = np.array([number for number, _ in plan])
        found = ImageScores(np.full(len(plan), "test"), cubes, origins, {"segmentation": counts})
        found.write(Folder(out), run.run_id)
    return record


def write_experiment(
    out: Path, error: float, seeds: tuple[int, ...] = (1, 2, 3), first: int = 0, **more: Any
) -> list[RunRecord]:
    """An experiment with a run per seed; `first` makes its chance another."""
    return [write_run(out, confusions(error, first + seed), seed=seed, **more) for seed in seeds]
