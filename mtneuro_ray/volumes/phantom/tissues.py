"""What each region's tissue is made of: one row of numbers a region, the whole calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mtneuro_ray.volumes.phantom.anatomy import CC, CTX, HYP, IC, ROI_LABELS, STR, TRACT, TRN, VP, ZI
from mtneuro_ray.volumes.phantom.noise import Floats


@dataclass(frozen=True, slots=True)
class RegionTissue:
    """Composition of one region's tissue, tuned against the real slice and the table of the paper.

    Attributes:
        grey: Grey value of the neuropil.
        myelin: Threshold on the fibre noise in [0, 1): the lower, the more axons; none from 1 on.
        shine: Grey values of myelinated axons above the neuropil.
        softness: Width in fibre noise over which the shine grows to its full value.
        fibre: Feature size of the fibre noise in voxels: across the fibres, along them, along z.
        cells: Share of the sites of the cell lattice that hold a cell, in neuropil.
        cells_in_myelin: The same share in myelinated tissue.
        radius: Mean semi-axis of a cell in voxels.
        capillaries: Share of the edges of the capillary lattice that exist.
        calibre: Mean radius of a capillary in voxels.
        strands: Share of the sites of the strand lattice that hold a single thin axon.
        grain: Strength of the grain.
        pallor: Grey values of the palest cells and capillaries above those of the cortex.
        streaks: Strength of the thin streaks along the fibres, grey values.
        octaves: Strength of the texture in features of 4, 8, 16, 32 and 64 voxels, grey values.
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
    octaves: tuple[float, float, float, float, float]
    streaks: float


# Of CTX, STR, VP and ZI, grey, shine, softness, fibre, grain, pallor, octaves and streaks were fitted to the training
# and validation boxes of the real slice: least squares over 48 statistics of 128 x 128 tiles, their means and their
# spreads between tiles (benchmarks/phantom_texture.py), by Levenberg-Marquardt with finite differences, at one seed and
# two planes. The phantom's tiles were rounded to the slice's 19 grey levels. The other numbers, on which the labels
# depend, were set by hand to the proportions of the paper. TRN is VP with less myelin; other regions have the grain,
# octaves and streaks of VP or ZI.
_ISOTROPIC = (30.0, 30.0, 30.0)
_VP = RegionTissue(
    114,
    0.44,
    28.7,
    0.145,
    (20.3, 215, 45.9),
    0.62,
    0.19,
    4.8,
    0.85,
    1.95,
    1,
    1.58,
    51,
    (6.2, 13.9, 25.4, 1.8, 24),
    9.8,
)
TISSUES: dict[int, RegionTissue] = {
    CTX: RegionTissue(
        124,
        1.4,
        30,
        0.1,
        _ISOTROPIC,
        0.44,
        0.46,
        3.85,
        0.46,
        1.85,
        0,
        1.87,
        3,
        (6.2, 6.1, 1.6, 3.4, 1.6),
        2.3,
    ),
    STR: RegionTissue(
        123.9,
        0.609,
        62.1,
        0.076,
        (30.5, 153.2, 56.4),
        0.44,
        0.06,
        4.4,
        0.43,
        1.9,
        0.15,
        1.36,
        11,
        (0.1, 2.6, 7.1, 9, 7.2),
        0,
    ),
    TRN: replace(_VP, myelin=0.445),
    VP: _VP,
    ZI: RegionTissue(
        118,
        0.478,
        34.7,
        0.439,
        (7, 151.4, 34.3),
        0.54,
        0.4,
        5,
        1.05,
        1.95,
        1,
        2.9,
        86,
        (0.5, 0.7, 0.4, 0.3, 35),
        2.3,
    ),
    IC: RegionTissue(
        128,
        0.36,
        56,
        0.3,
        (20, 200, 44),
        0.2,
        0.1,
        4.2,
        0.6,
        1.9,
        1,
        1.58,
        20,
        (6.2, 13.9, 25.4, 1.8, 24),
        9.8,
    ),
    HYP: RegionTissue(
        128,
        0.62,
        16,
        0.1,
        (16, 60, 24),
        0.45,
        0.36,
        4.4,
        0.6,
        1.9,
        0.4,
        2.9,
        20,
        (0.5, 0.7, 0.4, 0.3, 35),
        2.3,
    ),
    CC: RegionTissue(
        128,
        0.36,
        46,
        0.3,
        (20, 160, 40),
        0.2,
        0.1,
        4,
        0.5,
        1.9,
        0.5,
        1.58,
        14,
        (6.2, 13.9, 25.4, 1.8, 24),
        9.8,
    ),
    TRACT: RegionTissue(
        140,
        0.3,
        60,
        0.4,
        (20, 200, 44),
        0.12,
        0.08,
        4,
        0.5,
        1.9,
        0.5,
        1.58,
        20,
        (6.2, 13.9, 25.4, 1.8, 24),
        9.8,
    ),
}


def by_label(name: str) -> Floats:
    """One number of `Tissue` as a table indexed by region label; label 0 reads as cortex."""
    values = [getattr(TISSUES[label or CTX], name) for label in range(len(ROI_LABELS))]
    return np.array(values, np.float32)
