"""Task 3: attributes of corners of images, regressed on the features of a frozen encoder (paper, section 4.3)."""

from __future__ import annotations

from mtneuro_ray.tasks.base import Heading, Scale, TaskDeclaration

READOUT = TaskDeclaration(
    name="readout",
    summary="Linear regression of semantic attributes on a frozen encoder's features (paper, section 4.3)",
    build="mtneuro_ray.tasks.training.readout:ReadoutTask",
    labels="corner",
    headings=(
        Heading("r2/vessels", "Vessels"),
        Heading("r2/axons", "Axons"),
        Heading("r2/cell_count", "Cell Count"),
        Heading("r2/cell_size", "Cell Size"),
        Heading("r2/cell_distance", "Dist (k=1)"),
    ),
    selection=(),
    shown="all/r2_mean",
    reads_encoder=True,
    checks_classes=False,
    smoke={2: Scale(64, 64)},
)
