"""Measured memory and seconds of trainings: the table that packing and estimates read. No torch, no Ray."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, prod
from typing import Annotated, Any, Literal

from pydantic import Field

from mtneuro_ray.config.base import Settings, flattened
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import SPLITS, TaskSettings
from mtneuro_ray.data.sampling import count_samples
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.folder import Folder, place_of

# A trial asks for this many times the measured memory: allocators fragment, and the last bytes are never free.
MARGIN = 1.25
# Largest number of trials on one device. Each has a CPU and a context on the device.
MOST_PER_DEVICE = 32
# Ray counts resources in ten-thousandths.
_UNITS = 10_000

Bytes = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Workload:
    """Settings that decide the memory and the seconds of a step, without data, schedule and seed.

    Attributes:
        run: The run that is measured, for every training with these settings; its other settings are fixed.
        images: Number of training images where all of them are fitted at once; 0 elsewhere.
    """

    run: RunSettings
    images: int = 0

    @classmethod
    def of(cls, run: RunSettings, *, on_gpu: bool) -> Workload:
        """The workload of a run; for a readout, the workload of its encoder's training."""
        run = run.encoder_run or run
        network, images = _measured(run.network, on_gpu), 0
        if "fit" in network.method_declaration.needs:
            images = count_samples(run.task, "train")
        return cls(
            RunSettings(task=_measured_task(run.task), network=network, role="candidate", data=("random",)), images
        )

    @property
    def key(self) -> str:
        """Name in tables: the model, its settings that are not at their defaults, the images and the arithmetic."""
        network, task = self.run.network, self.run.task
        settings = [
            f"{key.removesuffix('.name') if key.endswith('.name') else network.keys.short(key)}="
            f"{value if isinstance(value, str) else json.dumps(value)}"
            for key, value in flattened(network.changed()).items()
            if key not in _KEYED and key not in _SCHEDULE and (key, value) not in _USUAL
        ]
        parts = [
            " ".join([network.model.name, *settings]),
            " x ".join(map(str, (task.volume_z, *task.tile_size))),
            f"{len(task.classes)} classes",
            f"batch {network.training.batch_size}",
            network.compute.precision,
            *([f"{self.images} images"] if self.images else []),
        ]
        return ", ".join(parts)


# Settings that the key already encodes.
_KEYED = {"model.name", "classes", "data.batch_size", "method.batch_size", "compute.precision", "model.encoder_weights"}
# Names in every network's settings, at their defaults.
_USUAL = {("method.name", "supervised"), ("optimizer.name", "Adam"), ("loss.name", "cross_entropy")}
# Settings that decide neither memory nor the time of a step. A small rate keeps the loss a number on random data.
_SCHEDULE: dict[str, Any] = {
    "name": "",
    "seed": 0,
    "optimizer.learning_rate": 1e-6,
    "optimizer.lr_schedule": "constant",
    "optimizer.warmup_epochs": 0,
    "optimizer.epochs": 1,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.999,
    "method.mixup_alpha": 1.0,
    "method.epochs": 1,
    "method.lr_warmup_epochs": 0,
    "method.base_learning_rate": 1e-6,
    "method.base_momentum": 0.99,
    "method.myow_base_weight": 0.1,
    "method.myow_rampup_epochs": 0,
    "method.byol_warmup_epochs": 0,
}
# Only whether these are 0 matters; mixup is measured where every batch is mixed.
_SWITCHES: dict[str, float] = {
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 1e-4,
    "method.mixup_probability": 1.0,
}


def _measured(network: NetworkSettings, on_gpu: bool) -> NetworkSettings:
    paths = network.paths()
    changes = {path: value for path, value in _SCHEDULE.items() if path in paths}
    changes |= {path: value for path, value in _SWITCHES.items() if paths.get(path)}
    if network.declaration.is_pretrained:
        changes["model.encoder_weights"] = None
    if network.compute.precision == "auto":
        changes["compute.precision"] = "bf16" if on_gpu else "fp32"
    if "method.batch_size" in paths:
        changes["method.batch_size"] = network.training.batch_size
    return network.replace(network.table_name, **changes)


def _measured_task(task: TaskSettings) -> TaskSettings:
    """A task with one image per split, of the same kind and shape."""
    depth = task.volume_z
    height, width = (side // task.downsample for side in task.tile_size)
    cube = {"region": "A", "label": 0, "y": [0, height], "x": [0, width]}
    cubes = [{**cube, "split": split, "z": [n * depth, (n + 1) * depth]} for n, split in enumerate(SPLITS)]
    values = {
        "name": "profile",
        "task": task.task,
        "image_chan": "random:",
        "annotation_chan": "random:" if task.declaration.needs_annotation else None,
        "classes": [str(number) for number in range(len(task.classes))],
        "tile_size": [height, width],
        "volume_z": depth,
        "cubes": cubes,
    }
    return TaskSettings.load(values, f"task {task.name}")


def workloads(runs: Iterable[RunSettings], *, on_gpu: bool) -> list[Workload]:
    """Distinct workloads of runs, in the order of the runs."""
    return list({workload.key: workload for run in runs for workload in [Workload.of(run, on_gpu=on_gpu)]}.values())


def voxels_of(task: TaskSettings) -> int:
    """Voxels of one image, as the network sees it."""
    return task.volume_z * prod(side // task.downsample for side in task.tile_size)


def resident_bytes(run: RunSettings, voxel_bytes: int | None = None) -> int:
    """Bytes of a run's splits, which stay on its device while it trains.

    `voxel_bytes` are those of a voxel of the image over all channels, by default a byte for each channel.
    """
    if run.task.sampling.is_patches:
        return 0  # Patches and blocks of cubes come to it one by one.
    masks = 1 if run.task.declaration.labels == "voxel" else 0
    per_voxel = masks + (run.network.model.in_channels if voxel_bytes is None else voxel_bytes)
    images = sum(count_samples(run.task, split) for split in SPLITS if split != "test" or run.role == "final")
    return images * (voxels_of(run.task) * per_voxel + 8)


class Cost(Settings):
    """Measured cost of one workload on one device, on random data. Seconds are medians."""

    fits: bool
    """Whether the workload fits in memory; if not, only the numbers of the device are known."""
    device: str
    """`cpu`, or the name of the GPU in torch."""
    threads: Annotated[int, Field(ge=1)]
    device_bytes: Bytes
    """Memory of the GPU, or of the machine."""
    torch: str
    date: str
    base_bytes: Bytes = 0
    """Memory of a process before it trains: its libraries on a CPU, its context on a GPU."""
    peak_bytes: Bytes = 0
    """Peak memory beyond `base_bytes`: reserved by torch's allocator on a GPU, resident on a CPU."""
    data_bytes: Bytes = 0
    """Bytes of images in `peak_bytes`."""
    process_s: Seconds = 0.0
    """From the start of a process until it can train."""
    setup_s: Seconds = 0.0
    """Building the model, and the extra time of the first step."""
    step_s: Seconds | None = None
    """One optimizer step; None for methods without steps."""
    image_s: Seconds | None = None
    """Evaluation of one image."""
    fit_s: Seconds | None = None
    """Fit to all images, of methods without steps."""
    head_image_s: Seconds = 0.0
    """One image in one epoch of the linear layer on a frozen encoder."""

    def check(self, where: str) -> None:
        """Check that a workload that fits has its numbers.

        Raises:
            InputError: a number is missing.
        """
        if self.fits and (self.image_s is None or (self.step_s is None and self.fit_s is None)):
            raise InputError(f"{where}: image_s, step_s: are missing; accepted: both, or fits = false")

    def bytes_of(self, run: RunSettings, voxel_bytes: int | None = None) -> int:
        """Memory to reserve for a training of this workload, with the margin; see `resident_bytes`.

        On a CPU the images are in shared memory, which Ray counts separately.
        """
        images = 0 if self.device == "cpu" else max(0, resident_bytes(run, voxel_bytes) - self.data_bytes)
        return ceil(MARGIN * (self.base_bytes + self.peak_bytes)) + images

    def per_device(self, run: RunSettings, voxel_bytes: int | None = None) -> int:
        """Number of concurrent trainings of this workload on one device; at least 1; see `resident_bytes`."""
        return max(1, min(MOST_PER_DEVICE, self.device_bytes // max(1, self.bytes_of(run, voxel_bytes))))


def share_of(count: int) -> float:
    """Share of a device that a trial requests so that Ray places exactly `count` trials on it.

    Ray rounds to ten-thousandths: seven times 1/7 would be more than the device (ray#5902).
    """
    return 1.0 if count == 1 else (_UNITS // count) / _UNITS


class CostTable(Settings):
    """A file of costs."""

    version: Literal[1] = 1
    about: str = ""
    costs: dict[str, Cost] = Field(default_factory=dict)

    def add(self, workload: Workload, cost: Cost) -> CostTable:
        """The table with this cost added or replaced."""
        key = f"{workload.key} on {_place(cost.device, cost.threads)}"
        return self.model_copy(update={"costs": dict(sorted({**self.costs, key: cost}.items()))})

    def find(self, workload: Workload, *, on_gpu: bool, threads: int, device: str | None = None) -> Cost | None:
        """The cost of a workload on a CPU with `threads` threads, or on a GPU, where threads change little.

        With several GPUs in the table, the GPU with the least free memory counts, unless `device` names one.
        """
        if not on_gpu:
            return self.costs.get(f"{workload.key} on {_place('cpu', threads)}")
        found = [
            cost
            for key, cost in self.costs.items()
            if key.startswith(f"{workload.key} on ") and cost.device != "cpu" and device in (None, cost.device)
        ]

        def room(cost: Cost) -> float:
            return cost.device_bytes / max(1, cost.base_bytes + cost.peak_bytes) if cost.fits else 0.0

        return min(found, key=room, default=None)


def _place(device: str, threads: int) -> str:
    return device if device != "cpu" else f"cpu, {threads} thread{'s' if threads > 1 else ''}"


def read_table(path: str, *, default: CostTable | None = None) -> CostTable:
    """The table in a file, on this machine or in a bucket; `default` where there is no file.

    Raises:
        InputError: there is no file and no default, or the file holds no table of this version.
    """
    accepted = f"accepted: what `mtneuro-ray profile --space SPACE --out {path}` writes"
    folder, name = _place_of(path)
    try:
        values = json.loads(folder.read(name))
    except FileNotFoundError:
        if default is not None:
            return default
        raise InputError(f"{path}: no such file; {accepted}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: can't be read ({type(error).__name__}); {accepted}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}; {accepted}")
    table = CostTable.load(values, path)
    for key, cost in table.costs.items():
        cost.check(f"{path}: costs.{key}")
    return table


def write_table(path: str, table: CostTable) -> None:
    """Write a table atomically."""
    folder, name = _place_of(path)
    folder.write(name, (json.dumps(table.model_dump(mode="json", exclude_none=True), indent=1) + "\n").encode())


def _place_of(path: str) -> tuple[Folder, str]:
    if not path.partition("?" if "://" in path else "\0")[0].endswith(".json"):
        raise InputError(f"{path}: is no name of a table; accepted: one that ends in .json")
    return place_of(path)
