"""Predictions of overlapping windows, blended into any block with the same bits however the blocks are cut."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtneuro_ray.data.ahead import ahead
from mtneuro_ray.data.volume_input import Pixels
from mtneuro_ray.data.windows import Index, View, WindowGrid
from mtneuro_ray.roi import Roi, Shape

BLOCK_BYTES = 2**28
"""Memory for the sums of a block."""
KEPT_BYTES = 2**28
"""Memory for predictions of windows that reach into the next blocks."""

# Pixels that go through a network at once on a CPU and on a GPU: where larger batches stop being faster.
_BATCH_PIXELS = {"cpu": 2**16, "cuda": 2**22}
# Standard deviation of the weights of a window, as a part of its side, and the least weight.
_SIGMA = 0.125
_LEAST = 1e-3

Read = Callable[[Sequence[int], Sequence[int]], Pixels]


def importance(window: Shape) -> Tensor:
    """Gaussian weights (Z, Y, X) of the pixels of a window: most in its middle, never less than 0.001."""
    weights = torch.ones(())
    for side in window:
        place = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        weights = weights.unsqueeze(-1) * torch.exp(place**2 / (-2 * (_SIGMA * side) ** 2))
    return weights.clamp_min(max(float(weights.min()), _LEAST))


def batch_of(window: Shape, device: torch.device) -> int:
    """Windows that go through a network at once."""
    return max(1, _BATCH_PIXELS[device.type] // math.prod(window))


@dataclass(frozen=True, slots=True)
class _Step:
    """What a block takes: its windows in the order of their sum, those to compute, and those kept after it."""

    roi: Roi
    indices: list[Index]
    missing: list[Index]
    kept: dict[Index, None]


class Blender:
    """Weighted mean of the predictions of overlapping windows.

    Windows go through the network in batches of one size (the last is filled up), because a batch of another size may
    be computed in another order, and are added in the order of the grid: each pixel is the same sum whatever the block.
    Predictions of windows that reach into the next blocks are kept for these, up to `kept_bytes`.

    Args:
        grid: Places of the windows' predictions.
        view: What the network sees for a window.
        predict: Images (B, C, *view.size) -> what `finish` takes. It is called on another thread.
        read: Lowest corner, relative to the box, and size -> pixels (C, Z, Y, X). On another thread, too.
        num_values: V.
        batch: B.
        device: Where sums are made.
        kept_bytes: Memory for kept predictions.
        finish: What `predict` returned -> values (B, V, *window), on `device`.
    """

    def __init__(
        self,
        grid: WindowGrid,
        view: View,
        predict: Callable[[Tensor], Any],
        read: Read,
        num_values: int,
        batch: int,
        device: torch.device,
        kept_bytes: int,
        finish: Callable[[Any], Tensor] = lambda values: values,
    ) -> None:
        self._grid, self._view = grid, view
        self._predict, self._finish, self._read = predict, finish, read
        self._num_values, self._batch, self._device = num_values, batch, device
        self._weights = importance(grid.window).to(device)
        self._kept: dict[Index, Tensor] = {}
        self._most = kept_bytes // (self._weights.numel() * num_values * self._weights.element_size())

    def block(self, roi: Roi) -> Tensor:
        """Blended values (V, Z, Y, X) of a part of the box."""
        [found] = self.blocks([roi])
        return found

    def blocks(self, rois: Iterable[Roi]) -> Iterator[Tensor]:
        """Blended values (V, Z, Y, X) of parts of the box, in their order.

        The pixels of the next part are read while the network is at work on one. Reading, network and sums have a
        thread each.
        """
        steps, to_compute = itertools.tee(self._steps(rois))
        computed = self._computed(to_compute)
        for step in steps:
            yield self._blended(step, computed)

    def _steps(self, rois: Iterable[Roi]) -> Iterator[_Step]:
        """What each part takes, known before the part before it is computed."""
        # Windows in the order of their use, so that the oldest is dropped first.
        kept: dict[Index, None] = dict.fromkeys(self._kept)
        for roi in rois:
            indices = list(self._grid.indices(roi))
            missing = [index for index in indices if index not in kept]
            for index in indices:
                kept.pop(index, None)
                if self._reaches_on(index, roi):
                    kept[index] = None
            for index in list(kept)[: max(0, len(kept) - self._most)]:
                del kept[index]
            yield _Step(roi, indices, missing, dict(kept))

    def _blended(self, step: _Step, computed: Iterator[Tensor]) -> Tensor:
        total = torch.zeros((self._num_values, *step.roi.shape), device=self._device)
        weight = torch.zeros(step.roi.shape, device=self._device)
        own = {index: self._kept.pop(index) for index in step.indices if index in self._kept}
        self._kept = {index: weighted for index, weighted in self._kept.items() if index in step.kept}
        for index in step.indices:
            is_copy = index in own
            weighted = own.pop(index) if is_copy else next(computed)
            within, of_window = self._overlap(index, step.roi)
            total[(slice(None), *within)] += weighted[(slice(None), *of_window)]
            weight[within] += self._weights[of_window]
            if index in step.kept:
                # A copy: the batch that it is a part of may be freed.
                self._kept[index] = weighted if is_copy else weighted.clone()
        return total.div_(weight)

    def _computed(self, steps: Iterable[_Step]) -> Iterator[Tensor]:
        """Weighted predictions (V, *window) of the missing windows of each part, in their order."""
        # The network goes on with a batch, also of the next part, while the one before is added.
        # A new thread of Python would compute with another number of threads of torch.
        threads = partial(torch.set_num_threads, torch.get_num_threads())
        for output, count in ahead(self._predicted, self._batches(steps), threads):
            yield from (self._finish(output) * self._weights)[:count]

    def _predicted(self, batch: tuple[Tensor, int]) -> tuple[Any, int]:
        return self._predict(batch[0]), batch[1]

    def _batches(self, steps: Iterable[_Step]) -> Iterator[tuple[Tensor, int]]:
        """What the network sees of the missing windows: batches (B, C, *view.size), and how many windows are in each.

        All of a batch are of one part.
        """
        for pixels, places in ahead(self._read_missing, steps):
            for at in range(0, len(places), self._batch):
                images = [pixels[(slice(None), *place)] for place in places[at : at + self._batch]]
                filled = images + images[-1:] * (self._batch - len(images))
                yield torch.from_numpy(np.stack(filled)), len(images)

    def _read_missing(self, step: _Step) -> tuple[Pixels, list[tuple[slice, ...]]]:
        """The pixels around the missing windows, read at once, and the place of each in them."""
        if not step.missing:
            return np.empty(0), []
        starts = np.array([self._grid.start(index) for index in step.missing]) * self._view.scale - self._view.margin
        corner = starts.min(0)
        pixels = self._read(corner.tolist(), (starts.max(0) + self._view.size - corner).tolist())
        return pixels, [tuple(map(slice, low, low + self._view.size)) for low in starts - corner]

    def _overlap(self, index: Index, roi: Roi) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """The pixels that a window and a block share: their place in the block, and in the window."""
        within, of_window = [], []
        for start, side, (low, high) in zip(self._grid.start(index), self._grid.window, roi.ranges, strict=True):
            first, stop = max(start, low), min(start + side, high)
            within.append(slice(first - low, stop - low))
            of_window.append(slice(first - start, stop - start))
        return tuple(within), tuple(of_window)

    def _reaches_on(self, index: Index, roi: Roi) -> bool:
        """Whether a window reaches beyond the end of a block, into the box's next one."""
        places = zip(self._grid.start(index), self._grid.window, roi.ranges, self._grid.extent, strict=True)
        return any(high < end and start + side > high for start, side, (_, high), end in places)
