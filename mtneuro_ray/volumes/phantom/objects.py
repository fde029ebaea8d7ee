"""Cells, blood vessels and single axons: ellipsoids and tubes, each drawn from the hash of its own site of a lattice.

The same sums decide which voxels a solid covers wherever the box lies, so any two boxes agree where they overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mtneuro_ray.volumes.phantom.anatomy import CLEAR, Labels, labels_at, tissue_table
from mtneuro_ray.volumes.phantom.noise import (
    Box,
    Floats,
    Hashes,
    Ints,
    derive_key,
    hash_points,
    uniforms,
    value_noise,
)
from mtneuro_ray.volumes.phantom.solids import MAX_BEND, MAX_STRAY, Painted, Solids, covered, reach_of, tubes
from mtneuro_ray.volumes.phantom.texture import fibre_course, fibres_at
from mtneuro_ray.volumes.phantom.tissues import by_label

CELL_SITE = 14  # voxels between sites of the cell lattice
NODE_SITE = 28  # voxels between nodes of the capillary lattice
STRAND_SITE = 14  # voxels between sites of the lattice of single axons
TRUNK_SITE = 256  # voxels between columns of large vessels
_CELL_REACH = 11
_STRAND_REACH = 40
_TRUNK_KNOT = 128  # planes between bends of a large vessel
_TRUNK_SWAY = 40
_TRUNK_REACH = _TRUNK_SWAY + 30


def _sites(key: int, box: Box, spacing: int, below: int, above: int) -> tuple[list[Ints], Hashes]:
    """Coordinates and hashes of every lattice site whose object may reach into the box, from below or from above it."""
    spans = [np.arange((lo - below) // spacing, (hi - 1 + above) // spacing + 1) for lo, hi in box]
    grid = [v.ravel() for v in np.meshgrid(*spans, indexing="ij")]
    return grid, hash_points(key, *grid)


def _scatter(sites: list[Ints], jitter: list[Floats], spacing: int) -> list[Floats]:
    """Voxel coordinates of a point within each site's own cell of the lattice."""
    return [(g.astype(np.float32) + v) * np.float32(spacing) for g, v in zip(sites, jitter, strict=True)]


def _unit_vectors(parts: list[Floats]) -> Floats:
    vectors = np.stack(parts) - np.float32(0.5)
    a, b, c = vectors
    unit: Floats = vectors / (np.sqrt(a * a + b * b + c * c) + np.float32(1e-6))
    return unit


def cells(seed: int, box: Box) -> Iterator[Painted]:
    """The cells of a box: ellipsoids with a paler nucleus."""
    solids, tone, nucleus = _cells(seed, box)
    for number, index, depth in covered(solids, box):
        core = (depth < np.float32(0.36)) & (depth > np.float32(0.06))
        yield (index, (tone[number] + core * nucleus[number]).astype(np.int16))


def cell_solids(seed: int, box: Box) -> Solids:
    """The ellipsoids of all cells that may reach into a box; vessels are drawn over them."""
    return _cells(seed, box)[0]


def _cells(seed: int, box: Box) -> tuple[Solids, Floats, Floats]:
    """Ellipsoids, grey values and brightness of the nuclei, sparser where the tissue is myelinated."""
    grid, hashes = _sites(derive_key(seed, 10), box, CELL_SITE, _CELL_REACH, _CELL_REACH)
    chance, *u = uniforms(hashes, 10)
    centre = _scatter(grid, u[:3], CELL_SITE)
    label = _region_of(centre)
    crowd = value_noise(derive_key(seed, 11), *(v * np.float32(1 / 110) for v in centre))
    chance /= np.float32(0.4) + np.float32(1.2) * crowd
    likely = np.flatnonzero((chance < by_label("cells")[label]) & (label != CLEAR))
    at = (np.floor(v[likely]).astype(np.int64) for v in centre)
    myelinated = fibres_at(seed, *at)[0] > 0
    kept = likely[~myelinated | (chance < by_label("cells_in_myelin")[label])[likely]]
    return _ellipsoids(np.stack(centre)[:, kept], label[kept], [v[kept] for v in u[3:]])


def _region_of(points: Sequence[Floats]) -> Labels:
    z, y, x = (np.floor(v).astype(np.int64) for v in points)
    return labels_at(tissue_table(), z, y, x)


def _ellipsoids(centre: Floats, label: Labels, u: list[Floats]) -> tuple[Solids, Floats, Floats]:
    """Cells of their regions' size at `centre`, shaped by six random numbers each."""
    girth = by_label("radius")[label] * (np.float32(0.7) + np.float32(0.55) * u[0])
    ratio = np.float32(1) + np.float32(0.6) * u[1] * u[1]
    stretch = (np.float32(1) - np.float32(1) / (ratio * ratio)) / (girth * girth)
    solids = Solids(centre, reach_of(girth * ratio), girth, stretch, _unit_vectors(u[2:5]))
    tone = np.float32(34) + (np.float32(50) + by_label("pallor")[label]) * u[5]
    return solids, tone, np.float32(36) * u[4]


def _node(key: int, site: list[Ints]) -> list[Floats]:
    """Where the vessel node of a lattice site lies, voxels z, y, x."""
    return _scatter(site, uniforms(hash_points(key, *site), 3), NODE_SITE)


def capillaries(seed: int, box: Box) -> Iterator[Painted]:
    """The network of thin vessels: curved tubes between neighbouring nodes of a jittered lattice."""
    # An edge runs from its own site upwards to a neighbour.
    grid, hashes = _sites(derive_key(seed, 20), box, NODE_SITE, NODE_SITE + MAX_STRAY, MAX_STRAY)
    for axis in range(3):
        u = uniforms(hashes + np.uint32(1000 * (axis + 1)), 6)
        start = _node(derive_key(seed, 21), grid)
        label = _region_of(start)
        kept = np.flatnonzero((u[0] < by_label("capillaries")[label]) & (label != CLEAR))
        neighbour = [g[kept] + (a == axis) for a, g in enumerate(grid)]
        stop = _node(derive_key(seed, 21), neighbour)
        bend = [(v[kept] - np.float32(0.5)) * np.float32(2 * MAX_BEND) for v in u[1:4]]
        calibre = by_label("calibre")[label][kept] * (np.float32(0.75) + np.float32(0.5) * u[4][kept])
        tone = np.float32(8) + (np.float32(70) + by_label("pallor")[label][kept]) * u[5][kept]
        yield from tubes([v[kept] for v in start], stop, bend, calibre, tone, box)


def strands(seed: int, box: Box) -> Iterator[Painted]:
    """Single myelinated axons: thin bright tubes that follow the course of the fibres."""
    # Along z they run half as far as in a plane.
    (z0, z1), half = box[0], _STRAND_REACH // 2
    flat, reach = ((z0 + half, z1 - half), *box[1:]), _STRAND_REACH + MAX_STRAY
    grid, hashes = _sites(derive_key(seed, 25), flat, STRAND_SITE, reach, reach)
    u = uniforms(hashes, 8)
    start = _scatter(grid, u[:3], STRAND_SITE)
    label = _region_of(start)
    kept = np.flatnonzero((u[3] < by_label("strands")[label]) & (label != CLEAR))
    start, label, u = [v[kept] for v in start], label[kept], [v[kept] for v in u]
    length = np.float32(_STRAND_REACH) * (np.float32(0.5) + np.float32(0.5) * u[4])
    course = fibre_course(label, *start[1:])
    step = [(u[5] - np.float32(0.5)) * length, course[0] * length, course[1] * length]
    bend = [(v - np.float32(0.5)) * np.float32(12) for v in u[5:8]]
    stop = [a + d for a, d in zip(start, step, strict=True)]
    calibre = np.float32(0.9) + np.float32(0.8) * u[6]
    tone = (by_label("grey") + by_label("shine"))[label] + np.float32(50) * (u[7] - np.float32(0.1))
    yield from tubes(start, stop, bend, calibre, tone, box)


def trunks(seed: int, box: Box) -> Iterator[Painted]:
    """The few large vessels: dark lumens that wind along z and show as discs in a slice."""
    key = derive_key(seed, 30)
    (z0, z1), span_y, span_x = box
    grid, hashes = _sites(key, ((0, 1), span_y, span_x), TRUNK_SITE, _TRUNK_REACH, _TRUNK_REACH)
    u = uniforms(hashes, 5)
    columns = _scatter(grid[1:], u[1:3], TRUNK_SITE)
    z = np.arange(z0, z1)
    for n in np.flatnonzero((u[0] < np.float32(0.3)) & (grid[0] == 0)).tolist():
        wide = u[3][n] * u[3][n] * u[3][n] * u[3][n]
        radius = np.float32(5.5) + np.float32(6) * u[3][n] + np.float32(14) * wide * wide
        centres = [c[n] + _sway(int(hashes[n]) ^ (a + 1), z) for a, c in enumerate(columns)]
        yield _discs(centres, radius, np.int16(4 + 8 * u[4][n]), box)


def _sway(key: int, z: Ints) -> Floats:
    """How far a large vessel strays from its column at each plane, voxels."""
    knot = z // _TRUNK_KNOT
    t = (z % _TRUNK_KNOT).astype(np.float32) / np.float32(_TRUNK_KNOT)
    low, high = (uniforms(hash_points(key, knot + k), 1)[0] - np.float32(0.5) for k in (0, 1))
    swayed: Floats = (low + (high - low) * t * t * (3 - 2 * t)) * np.float32(2 * _TRUNK_SWAY)
    return swayed


def _discs(centres: list[Floats], radius: np.float32, tone: np.int16, box: Box) -> Painted:
    """One disc per plane of the box, where the plane has tissue at its centre."""
    (z0, z1), (y0, y1), (x0, x1) = box
    at = [np.floor(c).astype(np.int64) for c in centres]
    tissue = labels_at(tissue_table(), np.arange(z0, z1), at[0], at[1]) != CLEAR
    reach = int(radius) + 2
    spans = [
        np.arange(max(lo, int(c.min()) - reach), min(hi, int(c.max()) + reach + 1))
        for c, (lo, hi) in zip(centres, ((y0, y1), (x0, x1)), strict=True)
    ]
    down, right = (span.astype(np.float32) - c[:, None] for span, c in zip(spans, centres, strict=True))
    square = (down * down)[:, :, None] + (right * right)[:, None, :]
    i, j, k = np.nonzero((square < radius * radius) & tissue[:, None, None])
    index = (i * (y1 - y0) + spans[0][j] - y0) * (x1 - x0) + spans[1][k] - x0
    return (index, np.full(len(index), tone))
