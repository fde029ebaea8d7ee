"""The package's kinds of task: Tasks 1, 2 and 3 of the benchmark (paper, sections 4.1 to 4.3)."""

from __future__ import annotations

from mtneuro_ray.data.attributes import HEADINGS
from mtneuro_ray.tasks.base import Heading, Scale, TaskDeclaration

CLASSIFICATION = TaskDeclaration(
    name="classification",
    summary="One class per image: the brain region (paper, section 4.1)",
    build="mtneuro_ray.tasks.training.classification:ClassificationTask",
    labels="image",
    metrics=("classification",),
    headings=(
        Heading("accuracy", "Accuracy"),
        Heading("balanced_accuracy", "Balanced accuracy"),
        Heading("f1_mean", "F1"),
    ),
    untabled=("recall", "precision", "f1"),
    selection=("val/accuracy", "val/balanced_accuracy", "val/f1_mean", "val/loss"),
    shown="val/accuracy",
    needs_annotation=False,
)
SEGMENTATION = TaskDeclaration(
    name="segmentation",
    summary="One class per voxel: the microstructure (paper, section 4.2), learned from tiles or patches",
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
READOUT = TaskDeclaration(
    name="readout",
    summary="Linear regression of semantic attributes on a frozen encoder's features (paper, section 4.3)",
    build="mtneuro_ray.tasks.training.readout:read_out",
    labels="corner",
    headings=tuple(Heading(f"r2/{name}", title) for name, title in HEADINGS.items()),
    splits={"all": "R2 (all)", "test": "R2 (held out)"},
    untabled=("r2_mean",),
    selection=(),
    shown="all/r2_mean",
    reads_encoder=True,
    checks_classes=False,
    smoke={2: Scale(64, 64)},
)
