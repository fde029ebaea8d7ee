from __future__ import annotations

import numpy as np

from mtneuro_ray.volumes.phantom.objects import cell_solids
from mtneuro_ray.volumes.phantom.solids import covered

BOX = ((300, 316), (900, 940), (3100, 3150))


def test_covered_voxels_are_those_whose_centres_lie_in_the_ellipsoid() -> None:
    solids = cell_solids(0, BOX)
    found: dict[int, list[int]] = {}
    for number, index, depth in covered(solids, BOX):
        assert (depth < 1.00001).all()
        assert (depth > -1e-5).all()
        for n, i in zip(number.tolist(), index.tolist(), strict=True):
            found.setdefault(n, []).append(i)
    z, y, x = np.meshgrid(*(np.arange(*r) for r in BOX), indexing="ij")
    assert len(found) > 5
    for n in range(len(solids.reach)):
        centre, pole = solids.centre[:, n].astype(float), solids.pole[:, n].astype(float)
        away = [v - c for v, c in zip((z, y, x), centre, strict=True)]
        lean = sum(d * p for d, p in zip(away, pole, strict=True))
        depth = sum(d * d for d in away) / solids.girth[n] ** 2.0 - solids.stretch[n] * lean**2
        inside = np.flatnonzero(depth < 1)
        sure = np.flatnonzero(depth < 0.999)
        mine = found.get(n, [])
        assert len(set(mine)) == len(mine)
        assert set(sure) <= set(mine) <= set(np.flatnonzero(depth < 1.001)), inside
