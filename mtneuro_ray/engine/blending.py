"""Predictions of overlapping windows, blended into any block with the same bits however the blocks are cut."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

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


class Blender:
    """Weighted mean of the predictions of overlapping windows.

    Windows go through the network in batches of one size (the last is filled up), because a batch of another size may
    be computed in another order, and are added in the order of the grid: each pixel is the same sum whatever the block.
    Predictions of windows that reach into the next blocks are kept for these, up to `kept_bytes`.

    Args:
        grid: Places of the windows' predictions.
        view: What the network sees for a window.
        predict: Images (B, C, *view.size) -> values (B, V, *window), on `device`.
        read: Lowest corner, relative to the box, and size -> pixels (C, Z, Y, X).
        num_values: V.
        batch: B.
        device: Where sums are made.
        kept_bytes: Memory for kept predictions.
    """

    def __init__(
        self,
        grid: WindowGrid,
        view: View,
        predict: Callable[[Tensor], Tensor],
        read: Read,
        num_values: int,
        batch: int,
        device: torch.device,
        kept_bytes: int,
    ) -> None:
        self._grid, self._view = grid, view
        self._predict, self._read = predict, read
        self._num_values, self._batch, self._device = num_values, batch, device
        self._weights = importance(grid.window).to(device)
        # Windows in the order of their use, so that the oldest is dropped first.
        self._kept: OrderedDict[Index, Tensor] = OrderedDict()
        self._most = kept_bytes // (self._weights.numel() * num_values * self._weights.element_size())

    def block(self, roi: Roi) -> Tensor:
        """Blended values (V, Z, Y, X) of a part of the box."""
        total = torch.zeros((self._num_values, *roi.shape), device=self._device)
        weight = torch.zeros(roi.shape, device=self._device)
        indices = list(self._grid.indices(roi))
        own = {index: kept for index in indices if (kept := self._kept.pop(index, None)) is not None}
        missing = self._computed([index for index in indices if index not in own])
        for index in indices:
            weighted = own.pop(index) if index in own else next(missing)
            within, of_window = self._overlap(index, roi)
            total[(slice(None), *within)] += weighted[(slice(None), *of_window)]
            weight[within] += self._weights[of_window]
            if self._most and self._reaches_on(index, roi):
                # A copy: the batch that it is a part of may be freed.
                self._kept[index] = weighted.clone()
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        return total.div_(weight)

    def _computed(self, indices: list[Index]) -> Iterator[Tensor]:
        """Weighted predictions (V, *window) of windows, in their order; their pixels are read at once."""
        if not indices:
            return
        starts = np.array([self._grid.start(index) for index in indices]) * self._view.scale - self._view.margin
        sides = np.array(self._view.size)
        corner = starts.min(0)
        pixels = self._read(corner.tolist(), (starts.max(0) + sides - corner).tolist())
        places = [tuple(map(slice, low, low + sides)) for low in (starts - corner)]
        for at in range(0, len(places), self._batch):
            images = [pixels[(slice(None), *place)] for place in places[at : at + self._batch]]
            filled = images + images[-1:] * (self._batch - len(images))
            yield from (self._predict(torch.from_numpy(np.stack(filled))) * self._weights)[: len(images)]

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
