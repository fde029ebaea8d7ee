"""What trainings cost, as measured: the table that packing and estimates read. No torch, no ray."""

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
from mtneuro_ray.storage.folder import Folder

# A trial asks for this many times what was measured: allocators fragment, and the last bytes are never free.
MARGIN = 1.25
# Trials on one device, at most. Each has a CPU of its own and a context on the device.
MOST_PER_DEVICE = 32
# Ray counts resources in ten-thousandths.
_UNITS = 10_000

Bytes = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Workload:
    """What decides the memory and the seconds of a step, without data, schedule and seed.

    Attributes:
        run: What is measured: every training with the same workload, its other settings replaced by one value.
        images: Of the training split, where all of them are fitted at once; 0 elsewhere.
    """

    run: RunSettings
    images: int = 0

    @classmethod
    def of(cls, run: RunSettings, *, on_gpu: bool) -> Workload:
        """The workload of a run; of a readout, that of the training of its encoder."""
        run = run.encoder_run or run
        network, images = _measured(run.network, on_gpu), 0
        if "fit" in network.method_declaration.needs:
            images = count_samples(run.task, "train")
        return cls(
            RunSettings(task=_measured_task(run.task), network=network, role="candidate", data=("random",)), images
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of an image along z, y, x."""
        return (self.run.task.volume_z, *self.run.task.tile_size)

    @property
    def key(self) -> str:
        """Its name in tables: the model, its settings that are not at their defaults, the images and the arithmetic."""
        network = self.run.network
        settings = [
            f"{_short(network, key)}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in flattened(network.changed()).items()
            if key not in _TOLD and key not in _SCHEDULE and (key, value) not in _USUAL
        ]
        parts = [
            " ".join([self.run.network.model.name, *settings]),
            " x ".join(map(str, self.shape)),
            f"{len(self.run.task.classes)} classes",
            f"batch {self.run.network.training.batch_size}",
            self.run.network.compute.precision,
            *([f"{self.images} images"] if self.images else []),
        ]
        return ", ".join(parts)


def _short(network: NetworkSettings, key: str) -> str:
    return key.removesuffix(".name") if key.endswith(".name") else network.keys.short(key)


# Settings that the key already encodes.
_TOLD = {"model.name", "classes", "data.batch_size", "method.batch_size", "compute.precision", "model.encoder_weights"}
# Names that stand in every network's settings, at their defaults.
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
    """A task of one image a split, of the same kind and shape."""
    depth = task.volume_z
    height, width = (side // task.downsample for side in task.tile_size)
    cubes = [
        {
            "region": "A",
            "label": 0,
            "split": split,
            "z": [part * depth, (part + 1) * depth],
            "y": [0, height],
            "x": [0, width],
        }
        for part, split in enumerate(("train", "val", "test"))
    ]
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
    """The distinct workloads of runs, in their order."""
    return list({workload.key: workload for run in runs for workload in [Workload.of(run, on_gpu=on_gpu)]}.values())


def resident_bytes(run: RunSettings) -> int:
    """Bytes of a run's splits, which lie on its device while it trains."""
    task = run.task
    voxels = task.volume_z * prod(side // task.downsample for side in task.tile_size)
    channels = 2 if task.declaration.labels == "voxel" else 1
    images = sum(count_samples(task, split) for split in SPLITS if split != "test" or run.role == "final")
    return images * (voxels * channels + 8)


class Cost(Settings):
    """What one workload took on one device. Seconds are medians; everything was measured on random data."""

    fits: bool
    """Whether it could be measured at all; where it could not, there are no numbers but those of the device."""
    device: str
    """`cpu`, or what torch calls the GPU."""
    threads: Annotated[int, Field(ge=1)]
    device_bytes: Bytes
    """Memory of the GPU, or of the machine."""
    torch: str
    date: str
    base_bytes: Bytes = 0
    """Memory that a process takes before it trains: its libraries on a CPU, its context on a GPU."""
    peak_bytes: Bytes = 0
    """Most memory beyond that: on a GPU as reserved by torch's allocator, on a CPU resident."""
    data_bytes: Bytes = 0
    """Images in it."""
    process_s: Seconds = 0.0
    """From the start of a process until it can train."""
    setup_s: Seconds = 0.0
    """Building of the model, and what the first step takes longer than others."""
    step_s: Seconds | None = None
    """One optimizer step; none of PCA and NMF."""
    image_s: Seconds | None = None
    """Evaluation of one image."""
    fit_s: Seconds | None = None
    """Fit of PCA and NMF to all images."""
    head_image_s: Seconds = 0.0
    """One epoch of the linear layer on a frozen encoder, for each image."""

    def check(self, where: str) -> None:
        """Check that what could be measured has its numbers."""
        if self.fits and (self.image_s is None or (self.step_s is None and self.fit_s is None)):
            raise InputError(f"{where}: image_s, step_s: are missing; accepted: both, or fits = false")

    def bytes_of(self, run: RunSettings) -> int:
        """Memory that a training of this workload should be given, with the margin.

        On a CPU its images lie in shared memory, which Ray counts apart.
        """
        images = 0 if self.device == "cpu" else max(0, resident_bytes(run) - self.data_bytes)
        return ceil(MARGIN * (self.base_bytes + self.peak_bytes)) + images

    def per_device(self, run: RunSettings) -> int:
        """How many trainings of this workload one device holds at once; at least the one that was measured."""
        return max(1, min(MOST_PER_DEVICE, self.device_bytes // max(1, self.bytes_of(run))))


def share_of(count: int) -> float:
    """What each of `count` trials asks for of a device, such that Ray places exactly so many on it.

    Ray rounds to ten-thousandths: seven times 1/7 would be more than the device (ray#5902).
    """
    return 1.0 if count == 1 else (_UNITS // count) / _UNITS


class CostTable(Settings):
    """A file of costs."""

    version: Literal[1] = 1
    about: str = ""
    costs: dict[str, Cost] = Field(default_factory=dict)

    def add(self, workload: Workload, cost: Cost) -> CostTable:
        """The table with one cost more, or another instead."""
        key = f"{workload.key} on {_place(cost.device, cost.threads)}"
        return self.model_copy(update={"costs": dict(sorted({**self.costs, key: cost}.items()))})

    def find(self, workload: Workload, *, on_gpu: bool, threads: int, device: str | None = None) -> Cost | None:
        """The cost of a workload on a CPU with so many threads, or on a GPU; of several GPUs that which fits least.

        Args:
            workload: What is trained.
            on_gpu: Whether on a GPU.
            threads: Of a CPU; they change little on a GPU.
            device: Only this GPU.
        """
        if not on_gpu:
            return self.costs.get(f"{workload.key} on {_place('cpu', threads)}")
        found = [
            cost
            for key, cost in self.costs.items()
            if key.startswith(f"{workload.key} on ") and cost.device != "cpu" and device in (None, cost.device)
        ]
        return min(found, key=_room, default=None)


def _room(cost: Cost) -> float:
    return cost.device_bytes / max(1, cost.base_bytes + cost.peak_bytes) if cost.fits else 0.0


def _place(device: str, threads: int) -> str:
    return device if device != "cpu" else f"cpu, {threads} thread{'s' if threads > 1 else ''}"


def read_table(path: str) -> CostTable:
    """The table in a file, here or in a bucket.

    Raises:
        InputError: there is none, or it is none of this version.
    """
    accepted = f"accepted: what `mtneuro-ray profile --space SPACE --out {path}` writes"
    folder, name = _split(path)
    try:
        values = json.loads(folder.read(name))
    except FileNotFoundError:
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
    """Write a table, whole or not at all."""
    folder, name = _split(path)
    folder.write(name, (json.dumps(table.model_dump(mode="json", exclude_none=True), indent=1) + "\n").encode())


def exists(path: str) -> bool:
    """Whether there is a table."""
    folder, name = _split(path)
    return folder.exists(name)


def _split(path: str) -> tuple[Folder, str]:
    base, mark, options = path.partition("?" if "://" in path else "\0")
    head, slash, name = base.rpartition("/")
    if not name.endswith(".json"):
        raise InputError(f"{path}: is no name of a table; accepted: one that ends in .json")
    return Folder((head or slash or ".") + mark + options), name
