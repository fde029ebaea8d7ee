"""Choices of image size, model, batch and epochs for data and a machine, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from mtneuro_ray.machine import Machine
from mtneuro_ray.onboarding.facts import Facts, Wishes
from mtneuro_ray.onboarding.splits import Plan, count_tiles, plan_splits, shrunk
from mtneuro_ray.roi import Roi, Shape

# Coarser along z than this, slices are taken one by one: as nnU-Net (Isensee et al. 2021) treats such axes apart.
ANISOTROPIC = 3.0
# Sides of images to try, the largest first, on a GPU from the first, on CPUs from the third.
_SIDES = (384, 256, 128, 96, 64, 48, 32, 16, 8)
_SIDES_3D = (128, 96, 64, 48, 32, 16, 8)
# Images of the training split that are wanted before larger images are.
_IMAGES = 16
# Share of memory that all splits may take, and bytes of a voxel: grey value, class, and copies while it is read.
_SHARE_OF_MEMORY, _VOXEL_BYTES = 0.1, 6
_MOST_VOXELS = 2**28
# Images of all splits: more than that would hardly be seen in the steps that `plan_training` takes.
_MOST_IMAGES, _MOST_IMAGES_ON_GPU = 2048, 16384
_WORKSPACE = 176 * 2**20
# Epochs of a training on patches.
_EPOCHS_OF_PATCHES = 20


@dataclass(frozen=True, slots=True)
class TaskImages:
    """Images and splits of a task.

    Attributes:
        dim: Spatial axes of an image.
        tile: Voxels of an image along z, y, x.
        plan: Boxes of the splits.
        slices: Annotated slices, which are the z of the plan; None where z is that of the volume.
    """

    dim: Literal[2, 3]
    tile: Shape
    plan: Plan
    slices: tuple[int, ...] | None

    def count(self, split: str) -> int:
        """Images of a split."""
        return sum(count_tiles(box, self.tile) for name, box in self.plan.parts if name == split)

    def cubes(self) -> list[dict[str, Any]]:
        """The cubes of the task file, a cube for each annotated slice where there are such."""
        found = []
        for split, box in self.plan.parts:
            depths = [box.z] if self.slices is None else [(z, z + 1) for z in self.slices[slice(*box.z)]]
            found += [{"region": "volume", "split": split, "z": [*z], "y": [*box.y], "x": [*box.x]} for z in depths]
        return found


def dimensions(facts: Facts, machine: Machine, wishes: Wishes) -> tuple[Literal[2, 3], str]:
    """2D or 3D, and why."""
    depth = facts.image.domain.shape[0]
    if wishes.dim is not None:
        return wishes.dim, "as asked for"
    if facts.slices is not None:
        return 2, f"{len(facts.slices)} single slices are annotated"
    if depth < 32:
        return 2, f"the volume has {depth} slices"
    if facts.anisotropy >= ANISOTROPIC:
        known = "voxel size" if facts.voxel_size_um else "texture, as the metadata have no voxel size,"
        return 2, f"by its {known} z is {facts.anisotropy:.3g} times as coarse as y and x; --dim 3 takes flat boxes"
    if not machine.gpus:
        return 2, "3D is slow without a GPU; --dim 3 asks for it"
    return 3, "voxels are near to isotropic, and there is a GPU"


def plan_images(facts: Facts, machine: Machine, dim: Literal[2, 3]) -> TaskImages | None:
    """The largest images with which every class is in every split; the best there are where it cannot be.

    Args:
        facts: The data.
        machine: The machine.
        dim: Spatial axes of an image.

    Returns:
        None where the volume is too small for three splits of even the smallest images.
    """
    if facts.scan is None:
        return None
    most = min(_MOST_VOXELS, int(machine.memory_bytes * _SHARE_OF_MEMORY / _VOXEL_BYTES))
    bounds, counts, gaps = facts.scan.annotated_box, list(facts.scan.counts), [each.gap for each in facts.texture]
    origin = facts.scan.domain.origin
    slices = facts.slices if dim == 2 else None
    if slices is not None:
        # z counts annotated slices. They are few, so here the texture's length is enough: slices that are further apart
        # need none between them.
        spacing = min(b - a for a, b in pairwise(slices))
        counts[0] = counts[0][[z - origin[0] for z in slices]]
        gaps[0] = -(-(facts.texture[0].length + 1) // spacing) - 1
        bounds, origin = Roi((0, len(slices)), bounds.y, bounds.x), (0, *origin[1:])
    found: list[tuple[tuple[int, ...], TaskImages]] = []
    for rank, tile in enumerate(_tiles(facts, machine, dim, bounds)):
        enough = math.prod(tile) * (_MOST_IMAGES_ON_GPU if machine.gpus else _MOST_IMAGES)
        within = shrunk(bounds, tile, min(most, enough), counts, origin)
        plan = plan_splits(within, tile, gaps, counts, origin)
        if plan is None:
            continue
        images = TaskImages(dim, tile, plan, slices)
        few = images.count("train") < _IMAGES or images.count("val") < 2 or images.count("test") < 2
        deficit = gaps[plan.axis] - plan.gap
        found.append(((deficit, len(plan.missing()), int(few), rank), images))
        if not any(found[-1][0][:3]):
            break
    return min(found, key=lambda each: each[0])[1] if found else None


def _tiles(facts: Facts, machine: Machine, dim: Literal[2, 3], bounds: Roi) -> Iterator[Shape]:
    """Image shapes to try, the largest first: sides that divide the bounds with little left over."""
    seen = set()
    sides = _SIDES if dim == 2 else _SIDES_3D
    for side in sides if machine.gpus else sides[2:]:
        step = 16 if side >= 64 else 8
        height, width = (_fitting(extent, side, step) for extent in bounds.shape[1:])
        depth = 1
        if dim == 3:
            flat = max(1.0, facts.anisotropy) if facts.voxel_size_um else 1.0
            depth = _fitting(bounds.shape[0], max(8, int(side / flat)), 8)
        tile = (depth, height, width)
        if all(tile) and tile not in seen:
            seen.add(tile)
            yield tile


def _fitting(extent: int, side: int, step: int) -> int:
    """The side, a multiple of `step` near to `side`, of which a whole number fills an extent best; 0 if none fits."""
    if extent < step:
        return 0
    choices = range(max(step, side // 2 // step * step), min(side, extent) + 1, step)
    return max(choices, key=lambda each: (extent // each * each, each), default=min(side, extent) // step * step)


@dataclass(frozen=True, slots=True)
class ChosenTraining:
    """Model, batch and length of the training.

    Attributes:
        blocks: Resolutions of the U-Net.
        filters: Channels of the U-Net at full resolution.
        batch: Images of a step.
        epochs: Passes over the training split.
        step_bytes: Estimated memory of a training step.
        patches: Patches of an epoch; None where the images are tiles.
    """

    blocks: int
    filters: int
    batch: int
    epochs: int
    step_bytes: int
    patches: int | None = None


def plan_training(images: TaskImages, machine: Machine, channels: int, classes: int) -> ChosenTraining:
    """A U-Net and a batch that fit into the memory of the machine."""
    depth, height, width = images.tile
    smallest = min(height, width) if images.dim == 2 else min(images.tile)
    blocks = next(n for n in (4, 3, 2) if all(side % 2 ** (n - 1) == 0 for side in images.tile[3 - images.dim :]))
    blocks = min(blocks, max(2, smallest.bit_length() - 2))
    filters = 32 if machine.gpus else 16
    room = (machine.gpu_bytes or machine.memory_bytes // max(1, machine.cpus)) // 3
    most = 16 if images.dim == 2 else 4
    most = max(1, min(most if machine.gpus else most // 2, images.count("train") // 2))
    voxels = depth * height * width
    batch = most
    while batch > 1 and step_memory(batch * voxels, images.dim, blocks, filters, channels, classes) > room:
        batch //= 2
    batch = 2 ** (batch.bit_length() - 1)
    steps = 20_000 if machine.gpus else 1_000
    epochs = min(200, max(10, -(-steps * batch // images.count("train"))))
    size = step_memory(batch * voxels, images.dim, blocks, filters, channels, classes)
    if images.dim == 2 or all(box.shape == images.tile for _, box in images.plan.parts):
        return ChosenTraining(blocks, filters, batch, epochs, size)
    # Tiles of boxes are few, and patches as many as there are places. As many steps in fewer epochs, because each
    # validation predicts whole cubes by windows that overlap.
    fewer = min(epochs, _EPOCHS_OF_PATCHES)
    return ChosenTraining(blocks, filters, batch, fewer, size, -(-epochs * images.count("train") // fewer))


def step_memory(voxels: int, dim: int, blocks: int, filters: int, channels: int, classes: int) -> int:
    """Estimated bytes of a training step of a U-Net: activations that the backward pass needs, and weights with Adam.

    Each block keeps the outputs of two convolutions, their activations and normalizations, on the way down and up. The
    factor and the constant, for gradients and the library's workspace, fit the measured peaks of five steps in 2D and
    3D on a CPU (211 to 1055 MiB) within a quarter.
    """
    activations = voxels * (channels + 4 * classes)
    weights = 0
    for level in range(blocks):
        width, here = filters * 2**level, voxels // 2 ** (dim * level)
        activations += here * width * (6 if level == blocks - 1 else 14)
        weights += 2 * 3**dim * width * width * (1 if level == blocks - 1 else 3)
    return 5 * (activations + 4 * weights) + _WORKSPACE


def unused(facts: Facts, images: TaskImages) -> float:
    """Share of the volume's voxels, or of its annotated slices' voxels, that lie in no split."""
    domain = facts.image.domain
    depth = domain.shape[0] if images.slices is None else len(images.slices)
    used = sum(box.num_voxels for _, box in images.plan.parts)
    return 1 - used / (depth * domain.shape[1] * domain.shape[2])
