"""A frozen encoder with random weights: the row that every self-supervised encoder has to beat."""

from __future__ import annotations

from mtneuro_ray.config.owners import FrozenSettings
from mtneuro_ray.methods.base import MethodDeclaration

RANDOM = MethodDeclaration(
    name="random",
    summary="An encoder with random weights, then a linear probe",
    build="mtneuro_ray.methods.training.base:Method",
    settings=FrozenSettings,
    needs=("gradients", "features"),
    yields="encoder",
)
