"""Make-up of each region: numbers tuned against the real slice and the table of the paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtneuro_ray.volumes.phantom.regions import CC, CTX, HYP, IC, ROI_LABELS, STR, TRACT, TRN, VP, ZI


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
        strands: Share of the sites of the strand lattice that hold a single thin axon.
        grain: Strength of the grain.
        pallor: Grey values that the palest cells and capillaries gain on those of the cortex.
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
    strands: float
    grain: float
    pallor: float


_ISOTROPIC = (30.0, 30.0, 30.0)
TISSUES: dict[int, Tissue] = {
    CTX: Tissue(122, 1.4, 30, 0.1, _ISOTROPIC, 0.44, 0.46, 3.85, 0.46, 1.85, 0.0, 1.0, 0),
    STR: Tissue(117, 0.604, 50, 0.06, (24, 120, 42), 0.44, 0.06, 4.4, 0.43, 1.9, 0.15, 0.95, 14),
    TRN: Tissue(113, 0.445, 34, 0.15, (17, 170, 38), 0.62, 0.19, 4.8, 0.85, 1.95, 1.0, 1.2, 34),
    VP: Tissue(112, 0.431, 34, 0.15, (17, 170, 38), 0.62, 0.19, 4.8, 0.85, 1.95, 1.0, 1.2, 34),
    ZI: Tissue(113, 0.482, 22, 0.15, (9, 70, 20), 0.54, 0.40, 5.0, 1.05, 1.95, 1.0, 1.5, 60),
    IC: Tissue(128, 0.36, 56, 0.3, (20, 200, 44), 0.20, 0.10, 4.2, 0.6, 1.9, 1.0, 1.2, 20),
    HYP: Tissue(128, 0.62, 16, 0.1, (16, 60, 24), 0.45, 0.36, 4.4, 0.6, 1.9, 0.4, 1.1, 20),
    CC: Tissue(128, 0.36, 46, 0.3, (20, 160, 40), 0.20, 0.10, 4.0, 0.5, 1.9, 0.5, 1.1, 14),
    TRACT: Tissue(140, 0.30, 60, 0.4, (20, 200, 44), 0.12, 0.08, 4.0, 0.5, 1.9, 0.5, 1.1, 20),
}


def by_label(name: str) -> npt.NDArray[np.float32]:
    """One number of `Tissue` as a table that a region label indexes; label 0 reads as cortex."""
    values = [getattr(TISSUES[label or CTX], name) for label in range(len(ROI_LABELS))]
    return np.array(values, np.float32)
