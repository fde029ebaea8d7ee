"""Plan of a prediction of a whole volume: windows, blocks and target, from finished runs and options."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.pyramid import levels_of
from mtneuro_ray.data.volume_input import VolumeInput, at_voxel_size, pixels_of
from mtneuro_ray.data.volume_target import Layer, Placement, Scheme, Target
from mtneuro_ray.data.windows import OVERLAP, BlockPlan, View, WindowGrid
from mtneuro_ray.engine.blending import BLOCK_BYTES, batch_of
from mtneuro_ray.engine.finished import load_ensemble
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import MODEL, RunRecord, checkpoint_folder
from mtneuro_ray.volumes.source import Micrometers, VolumeSource

logger = logging.getLogger(__name__)

What = Literal["classes", "probabilities", "embeddings"]

# Pixels of a chunk of the target, z, y, x, for networks that see slices and volumes, and for values of whole images.
_CHUNK: dict[int, Shape] = {2: (8, 256, 256), 3: (32, 128, 128)}
_MAP_CHUNK: Shape = (8, 32, 32)
FORMAT_VERSION = 2


@dataclass(frozen=True)
class PredictionOptions:
    """How a volume is predicted.

    Attributes:
        what: "classes"; "probabilities" as bytes: 255 times the probability, rounded; or "embeddings": the features of
            an encoder, float32.
        flips: Whether the mean over all flips of a window along its axes is predicted.
        overlap: Part of a window that the next one shares, 0 to below 1. Models of whole images predict one value for
            each window.
        window: Pixels of the network's input along z, y, x; the size of the training images by default.
        block: Pixels of a block along z, y, x, rounded up to whole chunks; chosen by default.
        gpu: Whether a GPU computes.
        threads: CPU threads; 0 means as many as the run's workers had.
    """

    what: What = "classes"
    flips: bool = False
    overlap: float = OVERLAP
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
        box: Pixels of the volume that are predicted.
        grid: Windows of the prediction, relative to the box.
        view: What the network sees for a window.
        num_values: Values that are blended for a pixel.
        plan: Blocks of the prediction, relative to the box.
        batch: Windows that go through the network at once.
    """

    out: Folder
    records: tuple[RunRecord, ...]
    options: PredictionOptions
    image: VolumeInput
    box: Roi
    grid: WindowGrid
    view: View
    num_values: int
    plan: BlockPlan
    batch: int
    target: Target

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides the result, as the target's metadata say it; another prediction is refused there."""
        return {
            "format_version": FORMAT_VERSION,
            "runs": [record.run_id for record in self.records],
            "weights": [_weights_of(record, self.out) for record in self.records],
            "model": self.records[0].summary["model"],
            "task": self.records[0].summary["task"],
            "volume": [channel.uri for channel in self.image.channels],
            "data": [channel.identity for channel in self.image.channels],
            "voxel_size_um": self.image.channels[0].voxel_size_um,
            "box": str(self.box),
            "downsample": self.image.factor,
            "what": self.options.what,
            "flips": self.options.flips,
            "window": list(self.view.size),
            "step": [side * scale for side, scale in zip(self.grid.step, self.view.scale, strict=True)],
            "block": list(self.plan.block),
            "batch": self.batch,
            "device": "gpu" if self.options.gpu else "cpu",
            **({} if self.options.gpu else {"threads": self.threads}),
        }

    @property
    def threads(self) -> int:
        """CPU threads of each process."""
        return threads_of(self.records[0], self.options)


def threads_of(record: RunRecord, options: PredictionOptions) -> int:
    """CPU threads that a run's models compute with."""
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
    options: PredictionOptions = PredictionOptions(),
) -> VolumeJob:
    """Plan the prediction of a box of a volume, by default all of it.

    Raises:
        InputError: runs, volume, box and options do not fit together, or weights are missing.
    """
    run, given = records[0].load_settings(), channels[0]
    channels = at_voxel_size(channels, run.task)
    _check(run, records, channels, options)
    image = VolumeInput(tuple(channels), run.task.downsample)
    part, window = pixels_of(box, image, given), _window(run, options)
    # A prediction of nothing tells what the network makes of a window.
    ensemble = load_ensemble(
        records[:1], out, gpu=options.gpu, threads=threads_of(records[0], options), what=options.what
    )
    images = torch.from_numpy(np.zeros((1, len(channels), *window), channels[0].dtype))
    _, values, *inner = ensemble(images).shape
    values += len(records) > 1
    if _is_map(run, options):
        grid, view, placement = _tiles(part, window, image, options)
        chunk = _MAP_CHUNK
    else:
        grid = WindowGrid.of(part.shape, (inner[0], inner[1], inner[2]), options.overlap)
        z, y, x = ((side - own) // 2 for side, own in zip(window, inner, strict=True))
        view = View(window, (z, y, x))
        placement = Placement((1, image.factor, image.factor), channels[0].voxel_size_um, channels[0].origin_um)
        chunk = _CHUNK[run.network.model.dim]
    plan = BlockPlan.of(grid, chunk, BLOCK_BYTES // (4 * (values + 1)))
    if options.block is not None:
        z, y, x = (-(-side // step) * step for side, step in zip(options.block, chunk, strict=True))
        plan = BlockPlan(grid.extent, (z, y, x), plan.axis)
    batch = batch_of(window, ensemble.device)
    offset = (0, 0, 0) if _is_map(run, options) else part.origin
    if target[0] == "precomputed" and channels[0] is not given:
        placement = _at_corner(placement, channels[0], given)
    written = _target(run, grid, offset, placement, options, values, len(records) > 1, target, chunk)
    return VolumeJob(out, tuple(records), options, image, part, grid, view, values, plan, batch, written)


def _at_corner(placement: Placement, source: VolumeSource, given: VolumeSource) -> Placement:
    """A placement by corners of voxels, which those of a resampled volume share, and not by their middles."""
    assert placement.origin_um is not None
    assert source.origin_um is not None
    own = given.origin_um or (0.0, 0.0, 0.0)
    z, y, x = (at - (new - old) for at, new, old in zip(placement.origin_um, source.origin_um, own, strict=True))
    return replace(placement, origin_um=(z, y, x))


def _is_map(run: RunSettings, options: PredictionOptions) -> bool:
    """Whether there is one value for a window, and not one for each of its pixels."""
    return run.task.declaration.labels == "image" or options.what == "embeddings"


def _check(
    run: RunSettings, records: Sequence[RunRecord], channels: Sequence[VolumeSource], options: PredictionOptions
) -> None:
    wanted = run.network.model.in_channels
    if len(channels) != wanted:
        raise InputError(
            f"--volume: has {len(channels)} channels, {run.model} was trained on {wanted}; accepted: {wanted}"
        )
    trained_um = run.task.target_voxel_size_um or run.task.voxel_size_um
    known, size = np.broadcast_to(trained_um or np.nan, 3), channels[0].voxel_size_um
    # A single number is the side along y and x.
    if size and not np.allclose(np.where(np.isnan(known), size, known)[1:], size[1:], rtol=0.02):
        logger.warning(
            "%s: has voxels of %s um (z, y, x), run %s was trained on %s um along y, x; the network sees other sizes",
            channels[0].uri,
            ", ".join(f"{side:g}" for side in size),
            records[0].run_id,
            f"{known[1]:g}",
        )
    if options.what == "embeddings":
        if "features" not in run.network.declaration.gives:
            raise InputError(f"--what: {run.model} has no features; accepted: classes, probabilities, or an encoder")
        if len(records) > 1:
            raise InputError("--seeds: the features of several seeds have no mean; accepted: one run")


def _window(run: RunSettings, options: PredictionOptions) -> Shape:
    """Pixels of the network's input."""
    height, width = (side // run.task.downsample for side in run.task.tile_size)
    if run.task.declaration.labels == "image" and run.network.evaluation.eval_crops != "whole":
        # The run is judged on crops of half the side.
        height, width = height // 2, width // 2
    window = options.window or (run.task.volume_z, height, width)
    is_flat = run.network.model.dim == 2
    if is_flat and window[0] != 1:
        raise InputError(f"--window: {window[0]} slices, but {run.model} sees one at a time; accepted: 1,Y,X")
    try:
        run.network.declaration.size_rule(run.network.model).check(run.model, window[1:] if is_flat else window)
    except ValueError as error:
        raise InputError(f"--window: {error}") from None
    return window


def _tiles(
    part: Roi, window: Shape, image: VolumeInput, options: PredictionOptions
) -> tuple[WindowGrid, View, Placement]:
    """One pixel for each window that fits into a box, in the middle of that window."""
    for side, needed in zip(part.shape, window, strict=True):
        if side < needed:
            raise InputError(f"--box: {part.shape} pixels hold no image of {window}; accepted: a larger box")
    scale = WindowGrid.of(part.shape, window, options.overlap).step
    z, y, x = (1 + (side - own) // step for side, own, step in zip(part.shape, window, scale, strict=True))
    source, voxels = image.channels[0], (1, image.factor, image.factor)
    step = tuple(own * side for own, side in zip(scale, voxels, strict=True))
    size, first = source.voxel_size_um or (1.0, 1.0, 1.0), source.origin_um or (0.0, 0.0, 0.0)
    origin = [
        first[axis] + (part.origin[axis] + (window[axis] - scale[axis]) / 2) * voxels[axis] * size[axis]
        for axis in range(3)
    ]
    place: Micrometers = (origin[0], origin[1], origin[2])
    placement = Placement((step[0], step[1], step[2]), source.voxel_size_um, place)
    return WindowGrid((z, y, x), (1, 1, 1), (1, 1, 1)), View(window, scale=scale), placement


def _target(
    run: RunSettings,
    grid: WindowGrid,
    offset: Shape,
    placement: Placement,
    options: PredictionOptions,
    values: int,
    several: bool,
    place: tuple[Scheme, Folder],
    chunk: Shape,
) -> Target:
    scheme, folder = place
    if scheme == "precomputed" and placement.origin_um:
        # A precomputed volume lies at whole pixels.
        pairs = zip(offset, placement.origin_um, placement.pixel_size, strict=True)
        z, y, x = (low + round(origin / size) for low, origin, size in pairs)
        offset = (z, y, x)
    names = run.task.classes
    first = Layer("", classes=names) if options.what == "classes" else Layer("", channels=names)
    if options.what == "embeddings":
        first = Layer("", channels=tuple(f"feature {number}" for number in range(values)), dtype="float32")
    layers = (first, Layer("uncertainty")) if several else (first,)
    levels = levels_of(offset, grid.extent, placement.pixel_size)
    return Target(folder, scheme, layers, tuple(levels), chunk, placement)
