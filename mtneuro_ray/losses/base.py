"""Declaration of a loss, which imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from mtneuro_ray.registry import Declaration


@dataclass(frozen=True, kw_only=True)
class LossDeclaration(Declaration):
    """One loss.

    `build` is a function of logits (B, classes, ...) and true classes (B, ...), int64, which gives a loss per sample
    (B,); an empty batch gives (0,). A mean over a worker's own batch would weight samples by how the batch happens to
    be divided; from values per sample the engine takes the mean over the true global batch.

    Attributes:
        takes_weights: Whether it has a keyword `class_weights`, (classes,) or None.
        takes_mask: Whether it has a keyword `mask`, (B, ...) true where a voxel counts, or None where all do. Other
            voxels have class 0 in the truth. A sample without a voxel that counts has loss 0.
    """

    takes_weights: bool = False
    takes_mask: bool = False
