"""Boxes of a volume that alone are annotated, found by where labels end."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mtneuro_ray.onboarding.label_scan import LabelScan
from mtneuro_ray.roi import Roi

# Blocks within which labels are seen as one piece, and how many blocks may lie between parts of a piece.
_BLOCK, _REACH = 4, 2
# More pieces than this are objects; so are pieces that fill most of the box around them all.
_MOST_BOXES, _MOST_FILLED = 64, 0.5
# Least share of labelled voxels at a face of a box, relative to its inside. Objects touch the box around them in a few
# voxels, annotation ends across objects.
_ABRUPT = 0.5


def annotated_boxes(scan: LabelScan) -> tuple[Roi, ...] | None:
    """The boxes, two or more, that alone hold labels other than 0 and end abruptly; None where labels look dense.

    Only a volume that the scan has read whole is looked at.
    """
    domain, labelled = scan.domain, scan.filled
    if labelled is None or not scan.has_background:
        return None
    found = [_tight(labelled, piece) for piece in _pieces(labelled)]
    if not 2 <= len(found) <= _MOST_BOXES:
        return None
    if sum(box.num_voxels for box in found) > _MOST_FILLED * scan.annotated_box.num_voxels:
        return None
    if np.median([_abruptness(labelled[box.slices]) for box in found]) < _ABRUPT:
        return None
    return tuple(box.moved(domain.origin) for box in found)


def _pieces(labelled: npt.NDArray[np.bool_]) -> list[tuple[slice, slice, slice]]:
    """Boxes around groups of labelled voxels that are near to each other, as slices."""
    padded = np.pad(labelled, [(0, -side % _BLOCK) for side in labelled.shape])
    depth, height, width = (side // _BLOCK for side in padded.shape)
    occupied = padded.reshape(depth, _BLOCK, height, _BLOCK, width, _BLOCK).any(axis=(1, 3, 5))
    wide = ndimage.binary_dilation(occupied, np.ones((3, 3, 3)), iterations=_REACH)
    numbers, _ = ndimage.label(wide, np.ones((3, 3, 3)))
    numbers[~occupied] = 0
    found = []
    for place in ndimage.find_objects(numbers):
        z, y, x = (slice(side.start * _BLOCK, side.stop * _BLOCK) for side in place)
        found.append((z, y, x))
    return found


def _tight(labelled: npt.NDArray[np.bool_], piece: tuple[slice, slice, slice]) -> Roi:
    """The smallest box around the labelled voxels of a piece."""
    inside = np.nonzero(labelled[piece])
    ranges = [(side.start + int(n.min()), side.start + int(n.max()) + 1) for side, n in zip(piece, inside, strict=True)]
    return Roi(*ranges)


def _abruptness(box: npt.NDArray[Any]) -> float:
    """Median share of labelled voxels at the six faces of a box, relative to the whole box."""
    faces = [np.take(box, end, axis=axis).mean() for axis in range(3) for end in (0, -1)]
    return float(np.median(faces) / box.mean())
