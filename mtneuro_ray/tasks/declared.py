"""Declarations of the benchmark's kinds of task."""

from __future__ import annotations

from mtneuro_ray.tasks.declaration import Scale, TaskDeclaration

CLASSIFICATION = TaskDeclaration(
    name="classification",
    summary="One class per image: the brain region (paper, section 4.1)",
    build="mtneuro_ray.tasks.classification:ClassificationTask",
    selection=("val/accuracy", "val/balanced_accuracy", "val/f1_mean", "val/loss"),
    shown="val/accuracy",
    needs_annotation=False,
)
SEGMENTATION = TaskDeclaration(
    name="segmentation",
    summary="One class per voxel: the microstructure (paper, section 4.2)",
    build="mtneuro_ray.tasks.segmentation:SegmentationTask",
    selection=(
        "val/dataset/iou_mean",
        "val/dataset/f1_mean",
        "val/image/iou_mean",
        "val/image/f1_mean",
        "val/loss",
    ),
    shown="val/dataset/iou_mean",
    required_splits=("train", "val", "test"),
    # 128 pixels are the least that every model of the benchmark takes.
    smoke={2: Scale(128, 16), 3: Scale(32, 4)},
)
READOUT = TaskDeclaration(
    name="readout",
    summary="Linear regression of semantic attributes on a frozen encoder's features (paper, section 4.3)",
    build="mtneuro_ray.engine.readout:probe",
    selection=(),
    shown="all/r2_mean",
    reads_encoder=True,
    checks_classes=False,
    smoke={2: Scale(64, 64)},
)
