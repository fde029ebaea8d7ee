"""Predictions of finished segmentation runs over whole volumes, block by block, into a target that outlives a kill."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.ledger import Ledger
from mtneuro_ray.data.pyramid import Bytes, levels_of, reduced
from mtneuro_ray.data.volume_input import VolumeInput
from mtneuro_ray.data.volume_target import Layer, Placement, Scheme, Target
from mtneuro_ray.data.windows import BlockPlan, WindowGrid
from mtneuro_ray.engine.blending import Blender
from mtneuro_ray.engine.device import oom_guard
from mtneuro_ray.engine.ensemble import Ensemble, load_ensemble
from mtneuro_ray.errors import InputError
from mtneuro_ray.progress import progress, say
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import MODEL, RunRecord, checkpoint_folder
from mtneuro_ray.volumes.source import VolumeSource

What = Literal["classes", "probabilities"]

# Pixels of a chunk of the target, z, y, x, for networks that see slices and volumes.
_CHUNK: dict[int, Shape] = {2: (8, 256, 256), 3: (32, 128, 128)}
# Memory for the sums of a block, and for predictions of windows that reach into the next blocks.
_BLOCK_BYTES = _KEPT_BYTES = 2**28
# Pixels that go through a network at once on a CPU and on a GPU: where larger batches stop being faster.
_BATCH_PIXELS = {"cpu": 2**16, "cuda": 2**22}
# Blocks of a level of the pyramid are made of as many pixels of the level below, over all channels.
_REDUCED_BYTES = 2**26
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Options:
    """How a volume is predicted.

    Attributes:
        what: "classes", or "probabilities" as bytes: 255 times the probability, rounded.
        flips: Whether the mean over all flips of a window along its axes is predicted.
        overlap: Part of a window that the next one shares, 0 to below 1.
        window: Pixels of the network's input along z, y, x; the size of the training images by default.
        block: Pixels of a block along z, y, x, rounded up to whole chunks; chosen by default.
        gpu: Whether a GPU computes.
        threads: CPU threads; 0 means as many as the run's workers had.
    """

    what: What = "classes"
    flips: bool = False
    overlap: float = 0.5
    window: Shape | None = None
    block: Shape | None = None
    gpu: bool = False
    threads: int = 0


@dataclass(frozen=True)
class VolumeJob:
    """A prediction of a whole volume: everything that a process needs to compute any of its blocks.

    Attributes:
        out: Folder of the runs.
        records: Runs whose mean is predicted.
        image: The volume's channels.
        corner: First pixel of the box in the volume.
        grid: Windows, relative to the box.
        margin: Pixels around a window's prediction that the network sees, on each side.
        plan: Blocks, relative to the box.
        batch: Windows that go through the network at once.
    """

    out: Folder
    records: tuple[RunRecord, ...]
    options: Options
    image: VolumeInput
    corner: Shape
    grid: WindowGrid
    margin: Shape
    plan: BlockPlan
    batch: int
    target: Target

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides the result, as the target's metadata say it; another prediction is refused there."""
        sides = zip(self.grid.window, self.margin, strict=True)
        threads = {} if self.options.gpu else {"threads": threads_of(self.records[0], self.options)}
        return {
            "format_version": FORMAT_VERSION,
            "runs": [record.run_id for record in self.records],
            "weights": [_weights_of(record, self.out) for record in self.records],
            "model": self.records[0].summary["model"],
            "task": self.records[0].summary["task"],
            "volume": [channel.uri for channel in self.image.channels],
            "data": [channel.identity for channel in self.image.channels],
            "box": str(Roi.at(self.corner, self.grid.extent)),
            "downsample": self.image.factor,
            "what": self.options.what,
            "flips": self.options.flips,
            "window": [side + 2 * more for side, more in sides],
            "step": list(self.grid.step),
            "block": list(self.plan.block),
            "batch": self.batch,
            "device": "gpu" if self.options.gpu else "cpu",
            **threads,
        }


def threads_of(record: RunRecord, options: Options) -> int:
    """CPU threads of each process."""
    return options.threads or int(record.placement.get("threads", 1))


def _weights_of(record: RunRecord, out: Folder) -> str:
    folder = checkpoint_folder(out, record.load_settings())
    try:
        return hashlib.sha256(folder.read(MODEL)).hexdigest()[:16]
    except FileNotFoundError:
        raise InputError(
            f"{folder}/{MODEL}: no such file, so run {record.run_id} can't predict; accepted: a run with its weights"
        ) from None


def plan_job(
    records: Sequence[RunRecord],
    out: Folder,
    channels: Sequence[VolumeSource],
    target: tuple[Scheme, Folder],
    box: Roi | None = None,
    options: Options = Options(),
) -> VolumeJob:
    """Plan the prediction of a box of a volume, by default all of it.

    Raises:
        InputError: runs, volume, box and options do not fit together, or weights are missing.
    """
    run = records[0].load_settings()
    image = VolumeInput(tuple(channels), run.task.downsample)
    wanted = run.network.model.in_channels
    if len(channels) != wanted:
        raise InputError(
            f"--volume: has {len(channels)} channels, {run.model} was trained on {wanted}; accepted: {wanted}"
        )
    part = _pixels_of(box, image)
    height, width = (side // run.task.downsample for side in run.task.tile_size)
    window = options.window or (run.task.volume_z, height, width)
    seen = window[1:] if run.network.model.dim == 2 else window
    if run.network.model.dim == 2 and window[0] != 1:
        raise InputError(f"--window: {window[0]} slices, but {run.model} sees one at a time; accepted: 1,Y,X")
    try:
        run.network.declaration.size_rule(run.network.model).check(run.model, seen)
    except ValueError as error:
        raise InputError(f"--window: {error}") from None
    margin = _margin(records[0], out, window, options)
    inner = tuple(side - 2 * more for side, more in zip(window, margin, strict=True))
    grid = WindowGrid.of(part.shape, (inner[0], inner[1], inner[2]), options.overlap)
    chunk = _CHUNK[run.network.model.dim]
    values = len(run.task.classes) + (len(records) > 1)
    plan = BlockPlan.of(grid, chunk, _BLOCK_BYTES // (4 * (values + 1)))
    if options.block is not None:
        z, y, x = (-(-side // step) * step for side, step in zip(options.block, chunk, strict=True))
        plan = BlockPlan(grid.extent, (z, y, x), plan.axis)
    batch = max(1, _BATCH_PIXELS["cuda" if options.gpu else "cpu"] // math.prod(window))
    written = _target(run, image, part, options, len(records) > 1, target, chunk)
    return VolumeJob(out, tuple(records), options, image, part.origin, grid, margin, plan, batch, written)


def _pixels_of(box: Roi | None, image: VolumeInput) -> Roi:
    """A box of voxels as pixels.

    Raises:
        InputError: it leaves the volume, or cuts pixels.
    """
    source, factor = image.channels[0], image.factor
    domain = source.domain
    if box is None:
        z, *plane = domain.ranges
        y, x = ((-(-low // factor), high // factor) for low, high in plane)
        if min(y[1] - y[0], x[1] - x[0]) < 1:
            raise InputError(f"{source.uri}: is smaller than {factor} voxels, one pixel of the run; accepted: a larger")
        return Roi(z, y, x)
    if box.intersection(domain) != box:
        inside = ",".join(f"{low}:{high}" for low, high in domain.ranges)
        raise InputError(f"--box: {_text(box)} leaves {source.uri}; accepted: within {inside}")
    if any(edge % factor for edges in box.ranges[1:] for edge in edges):
        raise InputError(f"--box: {_text(box)} cuts the run's pixels; accepted: multiples of {factor} along y and x")
    y, x = ((low // factor, high // factor) for low, high in box.ranges[1:])
    return Roi(box.z, y, x)


def _text(box: Roi) -> str:
    return ",".join(f"{low}:{high}" for low, high in box.ranges)


def _margin(record: RunRecord, out: Folder, window: Shape, options: Options) -> Shape:
    """Pixels that unpadded convolutions take off each side of a window."""
    run = record.load_settings()
    ensemble = load_ensemble([record], out, gpu=options.gpu, threads=threads_of(record, options), flips=False)
    dtype = getattr(torch, ensemble.members[0][1].scaling.dtype)
    images = torch.zeros((1, run.network.model.in_channels, *window), dtype=dtype)
    predicted = ensemble(images).shape[2:]
    z, y, x = ((side - inner) // 2 for side, inner in zip(window, predicted, strict=True))
    return z, y, x


def _target(
    run: RunSettings,
    image: VolumeInput,
    part: Roi,
    options: Options,
    several: bool,
    place: tuple[Scheme, Folder],
    chunk: Shape,
) -> Target:
    source, names = image.channels[0], run.task.classes
    scheme, folder = place
    placement = Placement((1, image.factor, image.factor), source.voxel_size_um, source.origin_um)
    offset = part.origin
    if scheme == "precomputed" and source.origin_um:
        # A precomputed volume lies at whole pixels.
        pairs = zip(part.origin, source.origin_um, placement.pixel_size, strict=True)
        z, y, x = (low + round(origin / size) for low, origin, size in pairs)
        offset = (z, y, x)
    first = Layer("", classes=names) if options.what == "classes" else Layer("", channels=names)
    layers = (first, Layer("uncertainty")) if several else (first,)
    levels = levels_of(offset, part.shape, placement.pixel_size)
    return Target(folder, scheme, layers, tuple(levels), chunk, placement)


class BlockWorker:
    """Computes and writes blocks of a job; loads the models once."""

    def __init__(self, job: VolumeJob) -> None:
        self._job, self._ledger = job, Ledger(job.target)
        first, options = job.records[0], job.options
        self._ensemble: Ensemble = load_ensemble(
            job.records, job.out, gpu=options.gpu, threads=threads_of(first, options), flips=options.flips
        )
        self._blender = Blender(
            job.grid,
            job.margin,
            self._ensemble,
            self._read,
            self._ensemble.num_values,
            job.batch,
            self._ensemble.device,
            _KEPT_BYTES,
        )

    def _read(self, start: Sequence[int], shape: Sequence[int]) -> Any:
        return self._job.image.read([low + at for low, at in zip(start, self._job.corner, strict=True)], shape)

    @torch.inference_mode()
    def compute(self, block: Roi) -> list[Bytes]:
        """Pixels of each layer of the target in a block."""
        with oom_guard(f"in block {block}", "a smaller --block or --window"):
            blended = self._blender.block(block)
        several = len(self._job.records) > 1
        shares = blended[:-1] if several else blended
        if self._job.options.what == "classes":
            found = [shares.argmax(0).to(torch.uint8).cpu().numpy()]
        else:
            found = [_as_bytes(shares)]
        return [*found, _as_bytes(blended[-1])] if several else found

    def run(self, block: Roi) -> None:
        """Compute a block, write it, and mark it."""
        for layer, pixels in zip(self._job.target.layers, self.compute(block), strict=True):
            self._job.target.array(layer, 0).write(block, pixels)
        self._ledger.mark(0, str(block))


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
    per_pixel = math.prod(level.factor) // math.prod(below.factor) * max(1, *(len(e.channels) for e in target.layers))
    grid = WindowGrid(level.shape, target.chunk, target.chunk)
    side = list(target.chunk)
    while 2 * math.prod(side) * per_pixel <= _REDUCED_BYTES:
        side[max(range(3), key=lambda axis: level.shape[axis] / side[axis])] *= 2
    return list(BlockPlan(grid.extent, (side[0], side[1], side[2])).blocks())


# Works on blocks of a level of a job (0 is the prediction itself), anywhere and in any order; hands out each when done.
Execute = Callable[[VolumeJob, int, list[Roi]], Iterable[Roi]]


def work_here(job: VolumeJob, number: int, blocks: list[Roi]) -> Iterator[Roi]:
    """Work on blocks one by one, in this process."""
    worker = BlockWorker(job) if number == 0 else None
    for block in blocks:
        if worker is not None:
            worker.run(block)
        else:
            reduce_block(job.target, number, block)
        yield block


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
