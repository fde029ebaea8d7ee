"""Predictions of finished runs over whole volumes, block by block, into a target that outlives a kill."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtneuro_ray.data.ahead import ahead
from mtneuro_ray.data.ledger import Ledger
from mtneuro_ray.data.pyramid import Bytes, Values, reduced
from mtneuro_ray.data.volume_target import Target
from mtneuro_ray.data.windows import BlockPlan
from mtneuro_ray.engine.blending import KEPT_BYTES, Blender
from mtneuro_ray.engine.device import oom_guard
from mtneuro_ray.engine.finished import load_ensemble
from mtneuro_ray.engine.volume_job import VolumeJob
from mtneuro_ray.errors import TrainingError
from mtneuro_ray.progress import progress, say
from mtneuro_ray.roi import Roi

# Blocks of the pyramid in work at once: one is compressed while another is read.
_REDUCING = 2
# Pixels of the level below that a block of the pyramid is made of, over all channels, in bytes.
_REDUCED_BYTES = 2**24


class BlockWorker:
    """Computes and writes blocks of a job; loads the models once."""

    def __init__(self, job: VolumeJob) -> None:
        self._job, self._ledger, options = job, Ledger(job.target), job.options
        ensemble = load_ensemble(
            job.records, job.out, gpu=options.gpu, threads=job.threads, flips=options.flips, what=options.what
        )
        self._blender = Blender(
            job.grid,
            job.view,
            ensemble.outputs,
            self._read,
            job.num_values,
            job.batch,
            ensemble.device,
            KEPT_BYTES,
            ensemble.values,
        )

    def _read(self, start: Sequence[int], shape: Sequence[int]) -> Any:
        return self._job.image.read([low + at for low, at in zip(start, self._job.box.origin, strict=True)], shape)

    def blended(self, blocks: Sequence[Roi]) -> Iterator[Tensor]:
        """Probabilities, and the disagreement of several runs, in blocks: (V, Z, Y, X) each, in their order.

        Raises:
            TrainingError: they are not all numbers.
            OutOfMemoryError: memory is exhausted.
        """
        found = self._blender.blocks(blocks)
        for block in blocks:
            with torch.inference_mode(), oom_guard(f"in block {block}", "a smaller --block or --window"):
                values = next(found)
                if not all(map(math.isfinite, map(float, values.aminmax()))):
                    name = self._job.records[0].summary["model"]
                    raise TrainingError(f"{name}: block {block} of the prediction holds values that are no numbers")
            yield values

    def run(self, blocks: Sequence[Roi]) -> Iterator[Roi]:
        """Compute blocks, write and mark them; hands out each when it is marked.

        One is written while the next is computed, so that two are lost where the process is killed.
        """
        return ahead(self._write, zip(blocks, self.blended(blocks), strict=True))

    @torch.inference_mode()
    def _pixels(self, blended: Tensor) -> list[Values]:
        """Pixels of each layer of the target in a block."""
        if self._job.options.what == "embeddings":
            return [blended.cpu().numpy()]
        several = len(self._job.records) > 1
        shares = blended[:-1] if several else blended
        if self._job.options.what == "classes":
            found = [shares.argmax(0).to(torch.uint8).cpu().numpy()]
        else:
            found = [_as_bytes(shares)]
        return [*found, _as_bytes(blended[-1])] if several else found

    def _write(self, made: tuple[Roi, Tensor]) -> Roi:
        block, blended = made
        for layer, pixels in zip(self._job.target.layers, self._pixels(blended), strict=True):
            self._job.target.array(layer, 0).write(block, pixels)
        self._ledger.mark(0, str(block))
        return block


def _as_bytes(shares: Tensor) -> Bytes:
    """255 times shares of 0 to 1, rounded half up."""
    pixels: Bytes = (shares * 255 + 0.5).floor_().clamp_(0, 255).to(torch.uint8).cpu().numpy()
    return pixels


def reduce_block(target: Target, number: int, block: Roi) -> None:
    """Make a block of a level of the pyramid from the level below, write it, and mark it."""
    level, below = target.levels[number], target.levels[number - 1]
    part, lacking = level.finer(block, below)
    z, y, x = (own // other for own, other in zip(level.factor, below.factor, strict=True))
    for layer in target.layers:
        pixels = target.array(layer, number - 1).read(part)
        target.array(layer, number).write(block, reduced(pixels, lacking, (z, y, x), classes=bool(layer.classes)))
    Ledger(target).mark(number, str(block))


def reduced_blocks(target: Target, number: int) -> list[Roi]:
    """Blocks of a level of the pyramid, each of whole chunks."""
    level, below = target.levels[number], target.levels[number - 1]
    factor = math.prod(level.factor) // math.prod(below.factor)
    bytes_each = factor * max(max(1, len(layer.channels)) * np.dtype(layer.dtype).itemsize for layer in target.layers)
    side = list(target.chunk)
    while 2 * math.prod(side) * bytes_each <= _REDUCED_BYTES:
        side[max(range(3), key=lambda axis: level.shape[axis] / side[axis])] *= 2
    return list(BlockPlan(level.shape, (side[0], side[1], side[2])).blocks())


# Works on blocks of a level of a job (0 is the prediction itself), anywhere and in any order; hands out each when done.
Execute = Callable[[VolumeJob, int, list[Roi]], Iterable[Roi]]


def work_here(job: VolumeJob, number: int, blocks: list[Roi]) -> Iterator[Roi]:
    """Work on blocks one by one, in this process."""
    if number == 0:
        yield from BlockWorker(job).run(blocks)
        return
    done = ahead(partial(reduce_block, job.target, number), blocks, at_once=_REDUCING)
    yield from (block for block, _ in zip(blocks, done, strict=True))


def predict_volume(job: VolumeJob, execute: Execute = work_here) -> int:
    """Compute the blocks that the target lacks, then its pyramid and its metadata.

    Returns:
        The number of blocks computed; 0 where the target was complete.

    Raises:
        InputError: the target holds something else.
        SourceError: the volume can't be read. What was written stays; the same call goes on from there.
        StoreError: the target can't be written; likewise.
    """
    ledger = Ledger(job.target)
    if ledger.claim(job.settings):
        say(f"{job.target.uri}: is complete")
        return 0
    computed = 0
    for number in range(len(job.target.levels)):
        every = list(job.plan.blocks()) if number == 0 else reduced_blocks(job.target, number)
        done = ledger.done(number)
        blocks = [block for block in every if str(block) not in done]
        if not blocks:
            continue
        label = f"predicting {job.target.uri}" if number == 0 else f"level {number} of {len(job.target.levels) - 1}"
        with progress(label, sum(block.num_voxels for block in blocks), "voxels") as advance:
            for block in execute(job, number, blocks):
                advance(block.num_voxels)
                computed += number == 0
    job.target.complete(job.settings)
    ledger.close()
    return computed
