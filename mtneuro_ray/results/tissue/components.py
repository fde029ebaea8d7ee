"""Connected components of a class in a box of any size, from blocks that are seen once.

Two voxels are connected if they share a face, an edge or a corner (26 neighbours). A block is labelled by itself; the
voxels at its faces are kept until the neighbouring blocks have come, and every contact joins two labels. The result is
that of `scipy.ndimage.label` on the whole box, to the number, however the box is cut.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from mtneuro_ray.roi import Roi, Shape

Ints = npt.NDArray[np.int64]

_NEIGHBOURS = [np.array(step) for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]
_CONNECTED = np.ones((3, 3, 3), bool)


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """K components, in the order of their first voxels (z, then y, then x).

    Attributes:
        voxels: (K,) number of voxels.
        centroids: (K, 3) mean position z, y, x, in voxels of the array that the box lies in.
        at_border: (K,) whether a voxel lies at a face of the box, beyond which the component may go on.
        regions: (K,) index of the region that holds most of the voxels, the first in rank of equals.
    """

    voxels: Ints
    centroids: npt.NDArray[np.float64]
    at_border: npt.NDArray[np.bool_]
    regions: Ints

    def __len__(self) -> int:
        return len(self.voxels)

    def take(self, chosen: npt.NDArray[np.bool_]) -> Components:
        """The components of a mask (K,)."""
        return Components(*(getattr(self, name)[chosen] for name in self.__slots__))


class ComponentFinder:
    """Finds the components of a box from its blocks.

    Memory: one block, some numbers for each component of each block, and the voxels of the class in the faces between
    blocks that have come and blocks that have not.

    Args:
        box: Box that the blocks fill.
        block: Sides of a block, z, y, x; the last along each axis may be smaller.
    """

    def __init__(self, box: Roi, block: Shape) -> None:
        self._box = box
        self._block = np.array(block)
        self._grid = -(-np.array(box.shape) // self._block)
        self._count = 0
        # Of components of blocks, in the order in which they were found: voxels, sums of coordinates, first voxel.
        self._voxels: list[Ints] = []
        self._sums: list[Ints] = []
        self._first: list[Ints] = []
        self._at_border: list[npt.NDArray[np.bool_]] = []
        self._contacts: list[Ints] = [np.empty((0, 2), np.int64)]
        self._shares: list[Ints] = [np.empty((0, 3), np.int64)]
        self._waiting: dict[tuple[int, ...], list[tuple[Ints, Ints]]] = defaultdict(list)
        self._done: set[tuple[int, ...]] = set()

    def add(self, roi: Roi, mask: npt.NDArray[np.bool_], regions: Ints | None = None) -> None:
        """Add a block of `box.split(block)`; every block comes once, in any order.

        Args:
            roi: Place of the block.
            mask: (Z, Y, X) voxels of the class.
            regions: (Z, Y, X) index of each voxel's region; 0 everywhere by default.
        """
        index = (np.array(roi.origin) - self._box.origin) // self._block
        labels, found = ndimage.label(mask, _CONNECTED)
        self._join(tuple(index.tolist()), roi, labels)
        self._hand_on(index, roi, labels)
        if found:
            self._measure(roi, labels, found, regions)
        self._count += found

    def _join(self, index: tuple[int, ...], roi: Roi, labels: Ints) -> None:
        """Note the contacts of a block with the blocks that came before it."""
        self._done.add(index)
        for places, numbers in self._waiting.pop(index, []):
            for step in _NEIGHBOURS:
                near = places - roi.origin + step
                inside = np.all((near >= 0) & (near < roi.shape), axis=1)
                own = labels[tuple(near[inside].T)].astype(np.int64)
                pairs = np.stack([numbers[inside], own + (self._count - 1)], axis=1)[own > 0]
                if len(pairs):
                    self._contacts.append(np.unique(pairs, axis=0))

    def _hand_on(self, index: Ints, roi: Roi, labels: Ints) -> None:
        """Keep the voxels at the faces, edges and corners of a block for the neighbours that are still to come."""
        for step in _NEIGHBOURS:
            neighbour = index + step
            key = tuple(neighbour.tolist())
            if (neighbour < 0).any() or (neighbour >= self._grid).any() or key in self._done:
                continue
            low = [size - 1 if s > 0 else 0 for s, size in zip(step, roi.shape, strict=True)]
            face = labels[tuple(slice(a, a + 1) if s else slice(None) for a, s in zip(low, step, strict=True))]
            places = np.argwhere(face)
            if len(places):
                numbers = face[tuple(places.T)].astype(np.int64) + (self._count - 1)
                self._waiting[key].append((places + low + roi.origin, numbers))

    def _measure(self, roi: Roi, labels: Ints, found: int, regions: Ints | None) -> None:
        flat = np.flatnonzero(labels)
        numbers = labels.reshape(-1)[flat].astype(np.int64) - 1
        places = np.unravel_index(flat, labels.shape)
        voxels = np.bincount(numbers, minlength=found)
        # Whole numbers below 2**53, so that sums of floats are exact.
        sums = [np.bincount(numbers, weights=place, minlength=found).astype(np.int64) for place in places]
        self._voxels.append(voxels)
        self._sums.append(np.stack([s + o * voxels for s, o in zip(sums, roi.origin, strict=True)], axis=1))
        first = np.empty(found, np.int64)
        first[numbers[::-1]] = np.ravel_multi_index(
            [place + o - base for place, o, base in zip(places, roi.origin, self._box.origin, strict=True)],
            self._box.shape,
        )[::-1]
        self._first.append(first)
        at_border = np.zeros(found + 1, bool)
        for axis, (own, whole) in enumerate(zip(roi.ranges, self._box.ranges, strict=True)):
            for end in (0, 1):
                if own[end] == whole[end]:
                    at_border[np.take(labels, -end, axis=axis)] = True
        self._at_border.append(at_border[1:])
        if regions is not None:
            here = regions.reshape(-1)[flat]
            keys, counts = np.unique(numbers * (int(here.max()) + 1) + here, return_counts=True)
            number, region = np.divmod(keys, int(here.max()) + 1)
            self._shares.append(np.stack([number + self._count, region, counts], axis=1))

    def finish(self, rank: Ints | None = None) -> Components:
        """The components, after all blocks have come.

        Args:
            rank: (R,) rank of each region, which decides between equals; by default their index.
        """
        number = self._count
        if not number:
            none = np.empty(0, np.int64)
            return Components(none, np.empty((0, 3)), none.astype(bool), none)
        one, other = np.concatenate(self._contacts).T
        graph = sparse.coo_matrix((np.ones(len(one), np.int8), (one, other)), shape=(number, number))
        found, joined = sparse.csgraph.connected_components(graph, directed=False)
        first = np.full(found, np.iinfo(np.int64).max)
        np.minimum.at(first, joined, np.concatenate(self._first))
        place = np.empty(found, np.int64)
        place[np.argsort(first)] = np.arange(found)
        joined = place[joined]
        voxels, sums = np.zeros(found, np.int64), np.zeros((found, 3), np.int64)
        np.add.at(voxels, joined, np.concatenate(self._voxels))
        np.add.at(sums, joined, np.concatenate(self._sums))
        at_border = np.zeros(found, bool)
        np.logical_or.at(at_border, joined, np.concatenate(self._at_border))
        return Components(voxels, sums / voxels[:, None], at_border, self._most_frequent(joined, found, rank))

    def _most_frequent(self, joined: Ints, found: int, rank: Ints | None) -> Ints:
        """The region that holds most of each component."""
        number, region, count = np.concatenate(self._shares).T
        regions = np.zeros(found, np.int64)
        if len(number):
            width = int(region.max()) + 1
            keys, where = np.unique(joined[number] * width + region, return_inverse=True)
            counts = np.zeros(len(keys), np.int64)
            np.add.at(counts, where, count)
            component, region = np.divmod(keys, width)
            # The last assignment to a component stands: the largest count, of equals the first in rank.
            order = np.lexsort((-(region if rank is None else rank[region]), counts))
            regions[component[order]] = region[order]
        return regions
