"""What each region is made of: the numbers that were tuned against the real slice and the paper's table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtneuro_ray.data.phantom.regions import CC, CTX, HYP, IC, STR, TRN, VP, ZI


@dataclass(frozen=True, slots=True)
class Tissue:
    """Make-up of one region.

    Attributes:
        grey: Grey value of the neuropil.
        myelin: Threshold on the fibre noise in [0, 1): the lower, the more axons; 1 and above, none.
        shine: Grey values by which myelinated axons outshine the neuropil.
        softness: Fibre noise over which the shine grows to its full value.
        fibre: Feature size of the fibre noise in voxels: across the fibres, along them, along z.
        cells: Share of the sites of the cell lattice that hold a cell, in neuropil.
        cells_in_myelin: The same where the tissue is myelinated.
        radius: Mean semi-axis of a cell in voxels.
        capillaries: Share of the edges of the capillary lattice that exist.
        calibre: Mean radius of a capillary in voxels.
    """

    grey: float
    myelin: float
    shine: float
    softness: float
    fibre: tuple[float, float, float]
    cells: float
    cells_in_myelin: float
    radius: float
    capillaries: float
    calibre: float


_ISOTROPIC = (30.0, 30.0, 30.0)
TISSUES: dict[int, Tissue] = {
    CTX: Tissue(121, 1.3, 30, 0.1, _ISOTROPIC, 0.46, 0.46, 3.9, 0.50, 1.85),
    STR: Tissue(120, 0.62, 50, 0.05, (34, 160, 50), 0.42, 0.08, 4.5, 0.50, 1.9),
    TRN: Tissue(122, 0.47, 32, 0.12, (26, 140, 44), 0.45, 0.22, 4.8, 0.85, 1.95),
    VP: Tissue(120, 0.43, 32, 0.12, (30, 150, 50), 0.45, 0.22, 4.8, 0.85, 1.95),
    ZI: Tissue(118, 0.49, 14, 0.1, (16, 40, 22), 0.50, 0.36, 5.0, 1.0, 1.95),
    IC: Tissue(130, 0.28, 38, 0.12, (22, 200, 44), 0.20, 0.10, 4.2, 0.6, 1.9),
    HYP: Tissue(128, 0.62, 16, 0.1, (16, 60, 24), 0.45, 0.36, 4.4, 0.6, 1.9),
    CC: Tissue(130, 0.28, 28, 0.12, (20, 160, 40), 0.20, 0.10, 4.0, 0.5, 1.9),
}


def by_label(name: str) -> npt.NDArray[np.float32]:
    """One number of `Tissue` as a table that a region label indexes; label 0 reads as cortex."""
    values = [getattr(TISSUES[label or CTX], name) for label in range(CC + 1)]
    return np.array(values, np.float32)
