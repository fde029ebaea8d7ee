"""Task 2: the class of every voxel, the microstructure (paper, section 4.2)."""

from __future__ import annotations

from mtneuro_ray.tasks.base import Heading, Scale, TaskDeclaration

SEGMENTATION = TaskDeclaration(
    name="segmentation",
    summary="One class per voxel: the microstructure (paper, section 4.2)",
    build="mtneuro_ray.tasks.training.segmentation:SegmentationTask",
    labels="voxel",
    metrics=("segmentation",),
    headings=(
        Heading("dataset/f1", "F1 (dataset)", per_class=True),
        Heading("dataset/iou", "IoU (dataset)", per_class=True),
        Heading("image/f1", "F1 (image)", per_class=True),
        Heading("image/iou", "IoU (image)", per_class=True),
    ),
    selection=(
        "val/dataset/iou_mean",
        "val/dataset/f1_mean",
        "val/image/iou_mean",
        "val/image/f1_mean",
        "val/loss",
    ),
    shown="val/dataset/iou_mean",
    measures_regions=True,
    required_splits=("train", "val", "test"),
    # 128 pixels are the least that every model of the benchmark takes.
    smoke={2: Scale(128, 16), 3: Scale(32, 4)},
)
