"""The project of a classification: images in which one region dominates, and a ResNet-18 that tells regions apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.task import SPLITS
from mtneuro_ray.errors import InputError
from mtneuro_ray.machine import Machine
from mtneuro_ray.onboarding.facts import Facts, Wishes
from mtneuro_ray.onboarding.label_scan import SCANNED_VOXELS
from mtneuro_ray.onboarding.pages import Project
from mtneuro_ray.onboarding.sampled_boxes import read_boxes
from mtneuro_ray.onboarding.segmentation import LEARNING_RATES, about_image, fitting_batch, grey_values
from mtneuro_ray.onboarding.splits import plan_splits
from mtneuro_ray.roi import Range, Roi
from mtneuro_ray.volumes.source import VolumeSource

# Share of an image that its region fills at least.
_DOMINANT = 0.9
# Planes that are read, the sides of images to try, columns of one region and of all together, slices of a column.
_LEAST_PLANES, _MOST_PLANES = 3, 32
_SIDES = (128, 64, 32)
_FEWEST_COLUMNS, _MOST_COLUMNS, _ALL_COLUMNS, _MOST_SLICES = 2, 4, 16, 64


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """Images of one place, one above the other, in which one label dominates."""

    label: int
    roi: Roi


@dataclass(frozen=True, slots=True)
class LabelRegions:
    """Images of regions: their side, the gaps between splits along z, y, x, label -> cubes, and labels without any."""

    side: int
    gaps: list[int]
    cubes: dict[int, list[dict[str, Any]]]
    left_out: list[int]


def classification(facts: Facts, wishes: Wishes, name: str, machine: Machine) -> Project:
    """The project of a classification; see `project.write_project`.

    Raises:
        InputError: fewer than two regions fill an image of every split.
    """
    regions = _regions(facts)
    side, found = regions.side, regions.cubes
    if wishes.classes and len(wishes.classes) != len(found):
        labels = ", ".join(map(str, found))
        raise InputError(
            f"--classes: {len(wishes.classes)} names, the regions are {labels}; accepted: {len(found)}, in that order"
        )
    classes = [*wishes.classes] or [f"region_{label}" for label in found]
    task: dict[str, Any] = {
        "name": name,
        "task": "classification",
        "image_chan": facts.image.uri,
        "annotation_chan": facts.labels.uri,
        "annotation_map": {str(label): n for n, label in enumerate(found)},
        "classes": classes,
        "tile_size": [side, side],
        "max_slices": _MOST_SLICES,
        "cubes": [
            {"region": classes[n], "label": n, **cube} for n, cubes in enumerate(found.values()) for cube in cubes
        ],
    }
    batch = fitting_batch(task, 64 if machine.gpus else 16)
    images = sum(min(_MOST_SLICES, cube["z"][1] - cube["z"][0]) for cube in task["cubes"] if cube["split"] == "train")
    steps = 4_000 if machine.gpus else 600
    epochs = min(100, max(5, -(-steps * batch // images)))
    optimizer = {"name": "Adam", "learning_rate": LEARNING_RATES[1], "epochs": epochs, "lr_schedule": "cosine"}
    network = {
        "name": "ResNet-18",
        "classes": len(classes),
        "model": {"name": "ResNet-18"},
        "optimizer": optimizer,
        "data": {"batch_size": batch, "augmentations": True, **grey_values(facts)[0]},
    }
    length = f"{epochs}: about {epochs * images // batch} steps of {images} images"
    return Project(
        name=name,
        task=task,
        network=network,
        axes={"learning_rate": [LEARNING_RATES[1], LEARNING_RATES[0], 1e-4], "batch_size": [batch]},
        resources={"cpus_per_worker": 1, "gpus_per_worker": 1.0 if machine.gpus else 0.0},
        reasons={
            **_reasons(facts, machine, classes, regions),
            "batch": f"{batch} images",
            "epochs": length,
        },
        warnings=[
            "regions were read in some planes; images that turn out to be another region's are logged",
            *_warnings(facts, regions),
        ],
    )


def _regions(facts: Facts) -> LabelRegions:
    """The largest images that two regions or more fill; gaps are narrowed where no images of any side leave them."""
    planes = read_planes(facts.labels, facts.mask)
    for part in (1, 2, 4):
        gaps = [max(1, each.gap // part) for each in facts.texture]
        for side in _SIDES:
            taken: list[Roi] = []
            columns = columns_of(planes, facts, side)
            number = max(_FEWEST_COLUMNS, min(_MOST_COLUMNS, _ALL_COLUMNS // max(1, len(columns))))
            parts = {label: split_columns(columns[label], gaps, taken, number) for label in sorted(columns)}
            found = {label: cubes for label, cubes in parts.items() if cubes}
            if len(found) > 1:
                seen = {int(label) for plane in planes.values() for label in np.unique(plane)}
                return LabelRegions(side, gaps, found, sorted(label for label in seen - {*found} if label > 0))
    raise InputError(
        f"--labels: {facts.labels.uri}: {len(found)} regions fill {100 * _DOMINANT:.0f} % of images of {side} x "
        f"{side} voxels in three places apart; accepted: two regions or more (0 is none)"
    )


def _warnings(facts: Facts, regions: LabelRegions) -> list[str]:
    warnings = []
    wanted = [each.gap for each in facts.texture]
    if regions.gaps != wanted:
        narrow, wide = (" x ".join(map(str, each)) for each in (regions.gaps, wanted))
        warnings.append(f"gaps of {narrow} voxels are less than twice the texture's length ({wide}): no room")
    if regions.left_out:
        shown = ", ".join(map(str, regions.left_out[:10])) + ", ..." * (len(regions.left_out) > 10)
        warnings.append(f"labels that fill no images of this size in three places, and are no class: {shown}")
    return warnings


def _reasons(facts: Facts, machine: Machine, classes: list[str], regions: LabelRegions) -> dict[str, str]:
    return {
        **about_image(facts, machine),
        "classes": f"{', '.join(classes)} (labels {', '.join(map(str, regions.cubes))}, which fill whole images)",
        "texture": f"grey values resemble each other over {', '.join(map(str, facts.texture))} voxels (z, y, x)",
        "splits": f"parts of columns along z, or whole columns, {' x '.join(map(str, regions.gaps))} voxels apart",
        "image": f"1 x {regions.side} x {regions.side} voxels (z, y, x): the largest that two regions or more fill",
        "model": "ResNet-18, as the benchmark's Task 1",
    }


def read_planes(labels: VolumeSource, mask: VolumeSource | None) -> dict[int, npt.NDArray[Any]]:
    """Evenly spread planes of the labels by their z; 0 outside of the mask.

    Raises:
        InputError: the voxels are no whole numbers.
        SourceError: the volume can't be read.
    """
    domain = labels.domain
    (start, stop), depth = domain.z, domain.shape[0]
    number = min(depth, max(_LEAST_PLANES, min(_MOST_PLANES, SCANNED_VOXELS // (domain.num_voxels // depth))))
    places = [start + (2 * n + 1) * (stop - start) // (2 * number) for n in range(number)]
    boxes = [Roi((z, z + 1), domain.y, domain.x) for z in places]
    planes = {}
    for box, voxels in read_boxes(labels, boxes, f"looking for regions in {labels.uri}"):
        kept = voxels if mask is None else np.where(mask.read(box) != 0, voxels, 0)
        planes[box.z[0]] = kept[0]
    return planes


def columns_of(planes: dict[int, npt.NDArray[Any]], facts: Facts, side: int) -> dict[int, list[LabelColumn]]:
    """Label -> the deepest columns of images of `side` x `side` voxels that it dominates, in all planes between."""
    (y0, y1), (x0, x1) = facts.labels.domain.ranges[1:]
    rows, columns = (y1 - y0) // side, (x1 - x0) // side
    if not rows or not columns:
        return {}
    dominant = [_dominant(plane[: rows * side, : columns * side], side) for plane in planes.values()]
    found: dict[int, list[LabelColumn]] = {}
    for row in range(rows):
        for column in range(columns):
            y, x = y0 + row * side, x0 + column * side
            for label, z in _runs([*planes], [int(each[row, column]) for each in dominant]):
                found.setdefault(label, []).append(LabelColumn(label, Roi(z, (y, y + side), (x, x + side))))
    return {label: sorted(each, key=lambda column: (-column.roi.shape[0], column.roi)) for label, each in found.items()}


def _dominant(plane: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Label of each tile of a plane that fills most of it; 0 where none does."""
    values, codes = np.unique(plane, return_inverse=True)
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    tiles = codes.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows * columns, side * side)
    counts = np.stack([np.bincount(tile, minlength=len(values)) for tile in tiles])
    best = values[counts.argmax(axis=1)].astype(object)
    best[counts.max(axis=1) < _DOMINANT * side * side] = 0
    labels: npt.NDArray[Any] = best.reshape(rows, columns)
    return labels


def _runs(places: list[int], labels: list[int]) -> list[tuple[int, Range]]:
    """Labels other than 0 and below, with the slices from the first to the last of each run of planes."""
    found: list[tuple[int, Range]] = []
    for n, (z, label) in enumerate(zip(places, labels, strict=True)):
        if label <= 0:
            continue
        if n and labels[n - 1] == label:
            found[-1] = (label, (found[-1][1][0], z + 1))
        else:
            found.append((label, (z, z + 1)))
    return found


def split_columns(columns: list[LabelColumn], gaps: list[int], taken: list[Roi], number: int) -> list[dict[str, Any]]:
    """Cubes of one region: some of the deepest columns in three along z, else whole columns that lie apart; or none.

    Args:
        columns: Columns of the region, the deepest first.
        gaps: Voxels to leave between splits along z, y, x.
        taken: Columns of other regions that have cubes; those of this one are added. Two columns that touch have the
            same divisions along z, so that no part touches another split's.
        number: Most columns to take.
    """
    found: list[dict[str, Any]] = []
    for roi in [column.roi for column in columns]:
        if len(found) == number * len(SPLITS):
            break
        nothing = [np.zeros((side, 1), np.int64) for side in roi.shape]
        plan = plan_splits(roi, (1, *roi.shape[1:]), gaps, nothing, roi.origin)
        fits = plan is not None and plan.axis == 0 and plan.gap == gaps[0]
        if plan is not None and fits and all(roi.z == other.z or _apart(roi, other, gaps) for other in taken):
            found += [_cube(split, box) for split, box in plan.parts]
            taken.append(roi)
    if found:
        return found
    free = [column.roi for column in columns if all(_apart(column.roi, other, gaps) for other in taken)]
    for three in combinations(free[: 3 * _MOST_COLUMNS], len(SPLITS)):
        if all(_apart(a, b, gaps) for a, b in combinations(three, 2)):
            taken.extend(three)
            return [_cube(split, roi) for split, roi in zip(SPLITS, three, strict=True)]
    return []


def _apart(one: Roi, other: Roi, gaps: list[int]) -> bool:
    return any(
        a[1] + gap <= b[0] or b[1] + gap <= a[0] for a, b, gap in zip(one.ranges, other.ranges, gaps, strict=True)
    )


def _cube(split: str, box: Roi) -> dict[str, Any]:
    return {"split": split, "z": [*box.z], "y": [*box.y], "x": [*box.x]}
