"""Predictions of whole cubes by blended windows, as `engine.whole_volume` makes them, and their judgement."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.cubes import Cubes
from mtneuro_ray.data.mosaic import EMPTY, Mosaic
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.data.volume_input import Pixels, mirrored
from mtneuro_ray.data.windows import BlockPlan, View, WindowGrid
from mtneuro_ray.engine.blending import BLOCK_BYTES, KEPT_BYTES, Blender, batch_of
from mtneuro_ray.engine.ensemble import Ensemble
from mtneuro_ray.roi import Roi
from mtneuro_ray.tasks.training.base import Judged, Task


@dataclass(frozen=True, slots=True)
class _Block:
    """A part of a cube that is predicted at once, and its cells: their numbers in the split, and their boxes."""

    cube: int
    roi: Roi
    cells: list[tuple[int, Roi]]


class CubePredictor:
    """Predicts the cubes of a split; what lies beyond a cube is its mirror image, where a network needs a margin."""

    def __init__(self, task: Task, module: nn.Module, data: Cubes, context: WorkerContext) -> None:
        self._data, self._blenders = data, dict[int, Blender]()
        self._ensemble = Ensemble(((task.run, task, module),), context, flips=False, features=False)
        # A prediction of nothing tells what the network makes of a window.
        nothing = np.zeros((1, task.network.model.in_channels, *data.size), data.dtype)
        _, self._num_values, z, y, x = self._ensemble(torch.from_numpy(nothing)).shape
        self._inner = (z, y, x)

    def blocks(self) -> list[_Block]:
        """All parts of the cubes that have cells, cube after cube."""
        cells: dict[int, list[tuple[int, Roi]]] = {}
        for number, (cube, roi) in enumerate(self._data.cells):
            cells.setdefault(cube, []).append((number, roi))
        found = []
        for cube, own in cells.items():
            # A multiple of a cell's size: no block cuts one.
            plan = BlockPlan.of(self._grid(cube), self._data.size, BLOCK_BYTES // (4 * (self._num_values + 1)))
            by_block: dict[tuple[int, ...], list[tuple[int, Roi]]] = {}
            for number, roi in own:
                index = tuple(low // side for low, side in zip(roi.origin, plan.block, strict=True))
                by_block.setdefault(index, []).append((number, roi))
            # Those along `axis` one after the other: windows that reach into the next block are kept for it.
            axes = [*(axis for axis in range(3) if axis != plan.axis), plan.axis]
            order = sorted(by_block, key=lambda index: [index[axis] for axis in axes])
            found += [_Block(cube, _around([roi for _, roi in by_block[index]]), by_block[index]) for index in order]
        return found

    def shares(self, cube: int, roi: Roi) -> Tensor:
        """Blended probabilities (K, Z, Y, X) in a part of a cube, on the device."""
        if cube not in self._blenders:
            size, inner, device = self._data.size, self._inner, self._ensemble.device
            z, y, x = ((side - own) // 2 for side, own in zip(size, inner, strict=True))
            sides = self._data.cubes[cube].roi.shape

            def read(start: Sequence[int], shape: Sequence[int]) -> Pixels:
                return mirrored(
                    lambda box: self._data.grey([(cube, box)])[0], start, shape, [(0, side) for side in sides]
                )

            # That of another cube is no longer used.
            self._blenders = {
                cube: Blender(
                    self._grid(cube),
                    View(size, (z, y, x)),
                    self._ensemble.outputs,
                    read,
                    self._num_values,
                    batch_of(size, device),
                    device,
                    KEPT_BYTES,
                    self._ensemble.values,
                )
            }
        with torch.inference_mode():
            return self._blenders[cube].block(roi)

    def _grid(self, cube: int) -> WindowGrid:
        return WindowGrid.of(self._data.cubes[cube].roi.shape, self._inner)


def judged_cells(task: Task, module: nn.Module, data: Cubes, context: WorkerContext) -> Iterator[tuple[Judged, slice]]:
    """Predictions for this worker's share of the cells of a split, each with its place among them.

    What holds no voxel that counts is not predicted.
    """
    module.eval()
    predictor = CubePredictor(task, module, data, context)
    blocks = predictor.blocks()
    first, stop = context.share_of(len(blocks))
    for block in blocks[first:stop]:
        mask = data.masks([(block.cube, block.roi)])[0]
        counting = [(number, roi) for number, roi in block.cells if (_part(mask, block.roi, roi) != IGNORED).any()]
        if not counting:
            continue
        within = _around([roi for _, roi in counting])
        shares = predictor.shares(block.cube, within)
        for number, roi in counting:
            own = shares[(slice(None), *roi.slices_within(within))]
            truth = torch.from_numpy(_part(mask, block.roi, roi)).to(own.device)
            yield task.judge_shares(own[None], truth[None]), slice(number, number + 1)


def predicted_cubes(task: Task, module: nn.Module, data: Cubes, context: WorkerContext) -> list[Mosaic]:
    """The class of every voxel of the cells of a split: an array for each cube that has some, EMPTY elsewhere."""
    module.eval()
    predictor = CubePredictor(task, module, data, context)
    found = []
    for number, blocks in itertools.groupby(predictor.blocks(), key=lambda block: block.cube):
        cube, own = data.cubes[number], list(blocks)
        whole = _around([block.roi for block in own])
        pixels: Bytes = np.full(whole.shape, EMPTY, np.uint8)
        for block in own:
            classes = predictor.shares(number, block.roi).argmax(0).to(torch.uint8).cpu().numpy()
            for _, roi in block.cells:
                pixels[roi.slices_within(whole)] = classes[roi.slices_within(block.roi)]
        found.append(Mosaic(cube.region, whole.moved(cube.roi.origin).origin, (1, 1, 1), pixels))
    return found


def _part(mask: Bytes, outer: Roi, roi: Roi) -> Bytes:
    return mask[roi.slices_within(outer)]


def _around(rois: list[Roi]) -> Roi:
    """The smallest box that holds all boxes."""
    low = [min(roi.ranges[axis][0] for roi in rois) for axis in range(3)]
    high = [max(roi.ranges[axis][1] for roi in rois) for axis in range(3)]
    z, y, x = zip(low, high, strict=True)
    return Roi(z, y, x)
