"""Brain regions: polygons of one slice that drift slowly with z."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mtneuro_ray.volumes.phantom.noise import Box, Ints

SHAPE = (720, 1420, 5805)
CLEAR, CTX, STR, TRN, VP, ZI, IC, HYP, CC, TRACT = range(10)
ROI_LABELS = (CLEAR, CTX, STR, TRN, VP, ZI, IC, HYP, CC, HYP)  # the optic tract has no label of its own
CELL = 2  # voxels per cell of the region table, along y and x
MIDDLE_Z = 309  # the polygons describe this plane

Labels = npt.NDArray[np.uint8]

# Corners "y,x" of each region. Later polygons cover earlier ones.
_POLYGONS = {
    HYP: ("0,0 0,1560 343,1340 590,1175 760,1040 920,904 1420,500 1420,0"),
    ZI: (
        "0,1560 343,1340 590,1175 760,1040 920,904 1420,500 1420,1200 1199,1480 1120,1650 "
        "970,1880 680,2180 520,2420 0,2420"
    ),
    VP: ("520,2420 680,2180 970,1880 1120,1650 1199,1480 1420,1200 1420,3640 1199,3600 1120,3530 560,2900"),
    IC: (
        "0,1560 343,1340 570,1180 605,1290 545,1490 480,1700 470,2530 600,2990 870,3420 1120,3520 "
        "1199,3590 1300,3620 1420,3650 1420,3700 1199,3710 1090,3735 1040,3700 900,3620 750,3610 "
        "680,3540 660,3400 500,3100 343,2840 0,2300"
    ),
    TRN: (
        "560,1480 480,1700 450,2100 450,2530 490,2770 580,3000 730,3260 860,3430 980,3500 "
        "1120,3530 1120,3430 1090,3390 1000,3320 920,3280 790,3140 680,3000 620,2900 550,2640 "
        "520,2420 530,2100 570,1800 610,1580 610,1475"
    ),
    STR: (
        "0,2300 343,2840 500,3100 660,3400 680,3540 750,3610 900,3620 1040,3700 1090,3735 "
        "1199,3710 1420,3700 1420,4200 1199,4265 1100,4295 470,4300 343,4265 0,4200"
    ),
    CC: (
        "0,4200 343,4265 470,4300 1100,4295 1199,4265 1420,4200 1420,4370 1199,4383 750,4388 600,4370 343,4330 0,4270"
    ),
    TRACT: ("0,1200 230,1180 262,960 330,800 520,640 700,480 860,330 960,215 1010,190 860,0 0,0"),
    CTX: ("0,4270 343,4330 600,4370 750,4388 1199,4383 1420,4370 1420,5804 0,5804"),
}
_TISSUE = (
    "870,150 600,380 245,760 235,1140 300,1330 345,2100 350,2650 315,2950 280,3250 215,3720 "
    "165,4250 95,4800 50,5300 35,5540 70,5610 490,5750 760,5748 1100,5690 1340,5650 1375,5520 "
    "1350,5200 1290,4500 1270,4000 1330,3650 1350,3300 1345,2700 1330,2200 1290,1750 "
    "1240,1300 1205,600 1190,400 1090,250 960,200"
)


def _inside(polygon: str) -> npt.NDArray[np.bool_]:
    """Which table cells have their centre in a polygon, by the even-odd rule along each row."""
    y, x = ((np.arange(n // CELL + 1) + 0.5) * CELL for n in SHAPE[1:])
    corners = [tuple(map(int, corner.split(","))) for corner in polygon.split()]
    inside = np.zeros((len(y), len(x)), bool)
    for (y0, x0), (y1, x1) in zip(corners, corners[1:] + corners[:1], strict=True):
        rows = np.flatnonzero((y >= min(y0, y1)) & (y < max(y0, y1)))
        slope = (x1 - x0) / (y1 - y0) if y1 != y0 else 0.0
        inside[rows] ^= x > (x0 + (y[rows] - y0) * slope)[:, None]
    return inside


@lru_cache(maxsize=1)
def whole_table() -> Labels:
    """Region label of each 2 x 2 voxel cell of plane `MIDDLE_Z`, as if tissue filled the frame; axes y, x."""
    height, width = (n // CELL + 1 for n in SHAPE[1:])
    table = np.zeros((height, width), np.uint8)
    for label, polygon in _POLYGONS.items():
        table[_inside(polygon)] = label
    table.setflags(write=False)
    return table


@lru_cache(maxsize=1)
def tissue_table() -> Labels:
    """`whole_table` with 0 outside the tissue."""
    table = whole_table().copy()
    table[~_inside(_TISSUE)] = CLEAR
    table.setflags(write=False)
    return table


def drift(z: Ints) -> tuple[Ints, Ints]:
    """Shift of the regions in plane z against `MIDDLE_Z`, voxels along y and along x."""
    depth = np.asarray(z, np.int64) - MIDDLE_Z
    return (depth * 5) // 128, (depth * 9) // 128


def labels_at(table: Labels, z: Ints, y: Ints, x: Ints) -> Labels:
    """Labels of points in a table, uint8; the coordinates broadcast and may leave the volume."""
    dy, dx = drift(z)
    row = np.clip((y - dy) // CELL, 0, table.shape[0] - 1)
    column = np.clip((x - dx) // CELL, 0, table.shape[1] - 1)
    found: Labels = table[row, column]
    return found


def labels_in(box: Box) -> Labels:
    """Region labels of a box, uint8, axes z, y, x; 0 outside the tissue."""
    table = tissue_table()
    z, y, x = (np.arange(*r) for r in box)
    out = np.empty((len(z), len(y), len(x)), np.uint8)
    last: tuple[int, int] | None = None
    for i in range(len(z)):
        dy, dx = (int(d[0]) for d in drift(z[i : i + 1]))
        if (dy, dx) == last:
            out[i] = out[i - 1]
            continue
        row = np.clip((y - dy) // CELL, 0, table.shape[0] - 1)
        column = np.clip((x - dx) // CELL, 0, table.shape[1] - 1)
        np.take(table[row], column, axis=1, out=out[i])
        last = (dy, dx)
    return out
