"""Task 1: the class of an image, the brain region (paper, section 4.1)."""

from __future__ import annotations

from mtneuro_ray.tasks.base import Heading, TaskDeclaration

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
