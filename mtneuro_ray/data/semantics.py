"""Semantic attributes of the corners of images (Task 3), from the labels of the volume (paper, Appendix 5).

Cells are connected components in 3D, through every slice of a block of cubes; their parts in a corner are then counted
and measured. Finding the cells of a block needs all of its voxels; its images are measured in chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import KDTree

from mtneuro_ray.config.task import SPLITS, Split, TaskSettings
from mtneuro_ray.config.volumes import Sizes, sides_um
from mtneuro_ray.data.attributes import ATTRIBUTES, IN_UM, KINDS
from mtneuro_ray.data.class_labels import classes_of
from mtneuro_ray.data.sampling import Block, blocks, cube_samples
from mtneuro_ray.data.store import Bytes, CutoutStore
from mtneuro_ray.data.voxel_size import voxel_size_um
from mtneuro_ray.roi import Roi, corners

Attributes = npt.NDArray[np.float64]
Cells = npt.NDArray[np.unsignedinteger]

_NO_NEIGHBOUR = 64.0
_IMAGES_PER_CHUNK = 32


@dataclass(frozen=True, slots=True)
class Tissue:
    """Kind and cell of every voxel.

    Attributes:
        kinds: (..., Z, Y, X) 1 + index into KINDS, 0 for anything else.
        cells: (..., Z, Y, X) number of each voxel's cell, 0 outside of cells.
        sides_um: Sides of a voxel z, y, x in micrometers; None where they are not known.
    """

    kinds: Bytes
    cells: Cells
    sides_um: Sizes | None = None

    def cut(self, own: Roi, rois: Sequence[Roi]) -> Tissue:
        """Boxes of one shape out of this tissue, which fills the box `own`, stacked along a new first axis."""
        within = [roi.slices_within(own) for roi in rois]
        kinds, cells = (np.stack([array[box] for box in within]) for array in (self.kinds, self.cells))
        return Tissue(kinds, cells, self.sides_um)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Images of one cube that are measured together: the cube's number in the task, and the images' boxes."""

    cube: int
    rois: tuple[Roi, ...]


def load_attributes(store: CutoutStore, identity: str, task: TaskSettings) -> dict[Split, Attributes]:
    """Attributes of every corner of every image of a task.

    Args:
        store: Holds the annotation of the task's whole cubes.
        identity: Identity of the annotation volume.
        task: A readout task.

    Returns:
        Split -> (N, 4, A): images in the order of the plan, corners in the order of `roi.corners`, ATTRIBUTES, and
        IN_UM where the voxel size is known.

    Raises:
        StoreError: voxels are missing or damaged.
        InputError: the annotation holds a label that is no class.
    """
    measured: list[tuple[Chunk, Attributes]] = []
    for block in blocks(task):
        tissue = read_tissue(store, identity, task, block)
        measured += [(chunk, measure(tissue.cut(block.roi, chunk.rois))) for chunk in chunks(task, block)]
    return by_split(task, measured)


def read_tissue(store: CutoutStore, identity: str, task: TaskSettings, block: Block) -> Tissue:
    """Kinds and cells of the voxels of a block."""
    classes = classes_of(store.read(identity, [block.roi]), [block.roi], task)[0]
    table = np.zeros(256, np.uint8)
    for number, kind in enumerate(KINDS, 1):
        table[task.classes.index(kind)] = number
    kinds = table[classes]
    size = voxel_size_um(task, store.about(identity))
    return Tissue(kinds, find_cells(kinds == 1 + KINDS.index("cells")), None if size is None else sides_um(size))


def find_cells(is_cell: npt.NDArray[np.bool_]) -> Cells:
    """Numbers, from 1, of the 6-connected components of a volume (Z, Y, X); 0 where there is none."""
    numbered, count = ndimage.label(is_cell)
    # The smallest type that holds the count: the numbers are sent to other processes.
    cells: Cells = numbered.astype(np.min_scalar_type(count))
    return cells


def chunks(task: TaskSettings, block: Block) -> list[Chunk]:
    """The images of a block's cubes in portions, cube by cube in the order of the plan."""
    found: list[Chunk] = []
    for number in block.cubes:
        rois = tuple(sample.roi for sample in cube_samples(task, task.cubes[number]))
        found.extend(Chunk(number, rois[i : i + _IMAGES_PER_CHUNK]) for i in range(0, len(rois), _IMAGES_PER_CHUNK))
    return found


def by_split(task: TaskSettings, measured: Iterable[tuple[Chunk, Attributes]]) -> dict[Split, Attributes]:
    """Attributes of all blocks by split, in the order of the plan."""
    in_order = sorted(measured, key=lambda pair: pair[0].cube)
    present = {cube.split for cube in task.cubes}
    return {
        split: np.concatenate([values for chunk, values in in_order if task.cubes[chunk.cube].split == split])
        for split in SPLITS
        if split in present
    }


def measure(images: Tissue) -> Attributes:
    """Attributes of the four corners of N images, (N, 4, 5), or (N, 4, 7) where the voxel size is known."""
    height, width = images.kinds.shape[-2:]
    sides = images.sides_um
    found = np.empty((len(images.kinds), 4, len(ATTRIBUTES) + (0 if sides is None else len(IN_UM))))
    for number, (kinds, cells) in enumerate(zip(images.kinds, images.cells, strict=True)):
        for corner, (rows, columns) in enumerate(corners(height, width)):
            found[number, corner] = _attributes(kinds[..., rows, columns], cells[..., rows, columns], sides)
    return found


def _attributes(kinds: Bytes, cells: Cells, sides_um: Sizes | None) -> tuple[float, ...]:
    """Attributes of one corner (Z, Y, X), in the order of ATTRIBUTES and IN_UM."""
    vessels, axons = (100 * float(np.mean(kinds == 1 + KINDS.index(kind))) for kind in ("vessels", "axons"))
    places = np.argwhere(cells)
    _, cell, sizes = np.unique(cells[cells > 0], return_inverse=True, return_counts=True)
    centroids = np.stack([np.bincount(cell, weights=axis) for axis in places.T], axis=1) / sizes[:, np.newaxis]
    size = float(sizes.mean()) if len(sizes) else 0.0
    found = vessels, axons, float(len(sizes)), size, _nearest(centroids)
    return found if sides_um is None else (*found, size * math.prod(sides_um), _nearest(centroids, sides_um))


def _nearest(centroids: npt.NDArray[np.float64], sides: Sizes = (1.0, 1.0, 1.0)) -> float:
    """Mean distance of K points (K, 3) to their nearest neighbour (PROTOCOL, Task 3).

    `sides` of a voxel, z, y, x, are the unit of the distance; without a neighbour it is 64 voxels along x.
    """
    if len(centroids) < 2:
        return _NO_NEIGHBOUR * sides[2]
    centroids = centroids * sides
    # The first neighbour is the cell itself, or another one at the same place.
    distances, _ = KDTree(centroids).query(centroids, k=2)
    return float(distances[:, 1].mean())
