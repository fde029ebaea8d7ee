"""Whole-volume inference against MONAI's SlidingWindowInferer, and its memory for volumes of several sizes.

Ours reads a Zarr of the phantom from disk, blends, compresses and writes an OME-Zarr with its pyramid; MONAI gets the
voxels as a float tensor in memory, and blends them there. Both use one network, windows, overlap, batch and number of
threads for the network.

    python -m benchmarks.inference_rate [--rounds R] [--threads T] [--gigavoxels 0.1 0.5 2]
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import zarr
from monai.inferers.inferer import SlidingWindowInferer
from torch import Tensor, nn

import mtneuro_ray
from benchmarks.timing import take_turns
from mtneuro_ray.data.volume_target import parse_target
from mtneuro_ray.engine.volume_job import PredictionOptions, VolumeJob, plan_job
from mtneuro_ray.engine.whole_volume import BlockWorker, predict_volume
from mtneuro_ray.models.build import for_inference
from mtneuro_ray.progress import say
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.volumes.source import open_volume

IMAGE = "phantom://thalamocortical/image?seed=0"
# A network of the benchmark's kind for rates, and a small one, in large windows that do not overlap, for memory.
_NETWORKS = {
    "U-Net 2D, 8 filters": ("task2_2D_4class", "UNet_2D_4class", {"start_filters": 8}),
    "U-Net 3D, 8 filters": ("task2_3D_4class", "UNet_3D_4class", {"start_filters": 8, "n_blocks": 3}),
}
SMALL = ("task2_2D_4class", "UNet_2D_4class", {"start_filters": 2, "n_blocks": 2})
SMALL_OPTIONS = PredictionOptions(overlap=0.0, window=(1, 256, 256))


def trained(task: str, network: str, changes: dict[str, Any], out: Path) -> RunRecord:
    """A run of one epoch on the phantom."""
    overrides = {**changes, "epochs": 1}
    return mtneuro_ray.train(task, network, preset="smoke", overrides=overrides, out=out, store=out.parent / "store")


def job_of(
    record: RunRecord, out: Path, to: Path, box: Roi, options: PredictionOptions, image: str = IMAGE
) -> VolumeJob:
    """Its prediction of a box of a volume, by default of the phantom."""
    return plan_job([record], Folder(out), [open_volume(image)], parse_target(f"zarr://{to}"), box, options)


def _monai(model: nn.Module, job: VolumeJob, images: Tensor) -> Tensor:
    """MONAI's prediction (K, Z, Y, X) of scaled images (Z, Y, X); it takes slices as a batch."""
    is_flat = job.grid.window[0] == 1

    def predict(part: Tensor) -> Tensor:
        shares: Tensor = model(part).softmax(1)
        return shares

    window = job.grid.window[1:] if is_flat else job.grid.window
    inferer = SlidingWindowInferer(window, job.batch, job.options.overlap, "gaussian")
    with torch.inference_mode():
        found: Any = inferer(images[:, None] if is_flat else images[None, None], predict)
    blended: Tensor = found.transpose(0, 1) if is_flat else found[0]
    return blended


def _rates(work: Path, rounds: int, threads: int) -> None:
    for name, (task, network, changes) in _NETWORKS.items():
        out = work / network
        record = trained(task, network, changes, out)
        box = Roi.at((100, 300, 1200), (64, 512, 512) if "2D" in name else (128, 256, 256))
        options = PredictionOptions(what="probabilities", threads=threads)
        target = work / "rate.zarr"
        voxels = open_volume(IMAGE).read(box)
        names = ["z", "y", "x"]
        zarr.create_array(work / "image.zarr", data=voxels, chunks=(8, 256, 256), dimension_names=names, overwrite=True)
        job = job_of(record, out, target, Roi.at((0, 0, 0), box.shape), options, f"zarr://{work}/image.zarr")
        model = mtneuro_ray.Results(out).model(record.run_id)
        # With norms fused, and in 3D in another memory format.
        reformatted = for_inference(copy.deepcopy(model), record.load_settings().network, torch.device("cpu"))

        def ours(job: VolumeJob = job, target: Path = target) -> None:
            shutil.rmtree(target, ignore_errors=True)
            predict_volume(job)

        def theirs(model: nn.Module = model, job: VolumeJob = job, voxels: Any = voxels) -> Tensor:
            return _monai(model, job, torch.from_numpy(voxels).float() / 255)

        blended = _blended(job, job.plan.block)
        apart = float((blended - theirs()).abs().max())
        # What does not depend on the blocks has no seam at their borders.
        seam = float((blended - _blended(job, job.target.chunk)).abs().max())
        contenders: dict[str, Callable[[], object]] = {
            "ours": ours,
            "MONAI": theirs,
            "MONAI, the network as ours predicts": partial(theirs, reformatted),
        }
        rate = {each: box.num_voxels / value / 1e6 for each, value in take_turns(contenders, rounds).items()}
        print(f"{name}, windows {job.grid.window}, {threads} thread(s) for the network:")
        for each, value in rate.items():
            print(f"  {each} {value:.3f} Mvoxels/s, ours is {rate['ours'] / value:.2f} x")
        print(
            f"  furthest apart {apart:.1e}; in blocks of {job.plan.block} and {job.target.chunk} apart by {seam:.0e}",
            flush=True,
        )


def _blended(job: VolumeJob, shape: Shape) -> Tensor:
    """Blended probabilities (K, Z, Y, X) before they become bytes, put together from blocks of a shape."""
    worker = BlockWorker(job)
    found = torch.empty((len(job.records[0].settings["task"]["classes"]), *job.grid.extent))
    blocks = list(Roi.at((0, 0, 0), job.grid.extent).split(shape))
    for block, values in zip(blocks, worker.blended(blocks), strict=True):
        found[(slice(None), *block.slices)] = values
    return found


def alone(out: Path, run_id: str, gigavoxels: float, target: Path) -> None:
    """Predict a `small_box` in a process of its own, and print its peak memory and rate."""
    asked = json.dumps([str(out), run_id, gigavoxels, str(target)])
    command = [sys.executable, "-m", "benchmarks.inference_rate", "--one", asked]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    print(
        f"{found['voxels'] / 1e9:.2f} gigavoxels: peak RSS {found['mb']:.0f} MB, {found['seconds']:.0f} s, "
        f"{found['voxels'] / found['seconds'] / 1e6:.2f} Mvoxels/s",
        flush=True,
    )


def _memory(work: Path, gigavoxels: list[float]) -> None:
    out = work / "small"
    record = trained(*SMALL, out)
    for size in gigavoxels:
        alone(out, record.run_id, size, work / "one.zarr")
        shutil.rmtree(work / "one.zarr")


def small_box(gigavoxels: float) -> Roi:
    """A box of the phantom of about so many voxels, at most 5.8, in whole chunks."""
    height, width = 1280, 1280 if gigavoxels <= 1 else 5632
    return Roi.at((0, 0, 0), (round(gigavoxels * 1e9 / height / width / 8) * 8, height, width))


def _one(out: str, run_id: str, gigavoxels: float, target: str) -> None:
    record = next(record for record in mtneuro_ray.Results(out).records if record.run_id == run_id)
    box = small_box(gigavoxels)
    started = time.perf_counter()
    predict_volume(job_of(record, Path(out), Path(target), box, SMALL_OPTIONS))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"voxels": box.num_voxels, "mb": peak, "seconds": seconds}))


def main() -> None:
    """Print rates, distances and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gigavoxels", type=float, nargs="*", default=[0.1, 0.5, 2.0])
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _one(*options.one)
        return
    with tempfile.TemporaryDirectory() as work:
        say("training the networks for an epoch")
        if options.rounds:
            _rates(Path(work), options.rounds, options.threads)
        _memory(Path(work), options.gigavoxels)


if __name__ == "__main__":
    main()
