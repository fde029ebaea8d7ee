"""Task 3: attributes of corners of images, regressed on the features of a frozen encoder (paper, section 4.3)."""

from __future__ import annotations

from mtneuro_ray.data.attributes import HEADINGS
from mtneuro_ray.tasks.base import Heading, Scale, TaskDeclaration

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
