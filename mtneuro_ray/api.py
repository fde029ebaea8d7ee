"""The public Python API: what the commands do, for scripts and notebooks. `mtneuro_ray` re-exports it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtneuro_ray.config import loading
from mtneuro_ray.config.loading import Pair, load_pair, load_sweep
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ResourceSettings
from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.bounds import check_known_bounds
from mtneuro_ray.data.ingest import identities_of
from mtneuro_ray.data.prepare import check_encoders, fetch_encoder, ingest
from mtneuro_ray.data.samples import SplitArrays, load_split, load_splits
from mtneuro_ray.data.sampling import check_batch
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError
from mtneuro_ray.results.query import Results
from mtneuro_ray.storage.checkpoints import has_weights
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.sweep.experiment import Experiment

if TYPE_CHECKING:
    from mtneuro_ray.data.dataset import SplitDataset

Address = str | os.PathLike[str] | Folder
Report = Callable[[Mapping[str, Any]], None]


def _ignore(epoch: Mapping[str, Any]) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True)
class TaskData:
    """A task with the store that its voxels lie in.

    Attributes:
        settings: The task.
        file: Where it was read; relative paths in it start there.
        store: Cutouts; voxels that it lacks are read from the task's volumes once.
    """

    settings: TaskSettings
    file: Path
    store: CutoutStore

    def arrays(self, split: Split) -> SplitArrays:
        """One split as numpy arrays: images (N, Z, Y, X) uint8, masks, labels, regions.

        Raises:
            InputError: the task has no such split, or the data do not fit its settings.
            SourceError: a volume can't be read.
        """
        splits = list(dict.fromkeys(cube.split for cube in self.settings.cubes))
        if split not in splits:
            raise InputError(f"{self.settings.name}: split: is {split!r}; accepted: {', '.join(splits)}")
        image, annotation = self._identities
        return load_split(self.store, image, annotation, self.settings, split)

    def dataset(self, split: Split) -> SplitDataset:
        """One split as a torch Dataset of (image, target) pairs.

        Raises:
            InputError: the task has no such split, or the data do not fit its settings.
            SourceError: a volume can't be read.
        """
        from mtneuro_ray.data.dataset import SplitDataset

        return SplitDataset(self.arrays(split))

    def splits(self) -> dict[Split, SplitArrays]:
        """Every split as numpy arrays."""
        image, annotation = self._identities
        return load_splits(self.store, image, annotation, self.settings)

    @cached_property
    def _identities(self) -> tuple[str, str | None]:
        """Identities of the image and of the annotation, once the store holds what the task reads of them."""
        from mtneuro_ray.engine.local import fetch_all

        volumes = ingest(self.store, self.settings, self.file, fetch_all)
        return volumes.image.identity, volumes.annotation.identity if volumes.annotation else None


def load_task(
    name: str, *, volume: str | None = None, preset: str | None = None, store: Address = "out/store"
) -> TaskData:
    """A task by name or path, with its data.

    Args:
        name: Packaged name (`mtneuro-ray list tasks`) or path of a JSON.
        volume: Read the task's channels from here instead: "phantom", or a base URI of a copy of the volume.
        preset: Scale: "smoke" (small crops of the phantom) or "paper".
        store: Folder of cutouts, here or in a bucket.

    Returns:
        Its settings and splits; nothing is read before a split is asked for.

    Raises:
        InputError: one line that names the file and the key.

    Example:
        >>> task = mtneuro_ray.load_task("task2_2D_4class", preset="smoke", store=store)
        >>> image, mask = task.dataset("val")[0]
        >>> image.shape, mask.shape, task.settings.classes
        (torch.Size([1, 128, 128]), torch.Size([128, 128]), ('bg', 'vessels', 'cells', 'axons'))
    """
    settings, file = loading.load_task(name, volume, preset)
    return TaskData(settings, file, CutoutStore(_folder(store)))


def train(
    task: str,
    network: str,
    *,
    volume: str | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    out: Address = "out",
    store: Address | None = None,
    workers: int = 0,
    threads: int = 1,
    gpu: bool = False,
    address: str | None = None,
    num_cpus: int | None = None,
    report: Report = _ignore,
) -> RunRecord:
    """Train one run and evaluate it on the test split, unless its run file says that this is done.

    Args:
        task: Packaged name or path.
        network: Packaged name or path.
        volume: See `load_task`.
        preset: See `load_task`.
        overrides: Key of the network -> value, by path (`optimizer.learning_rate`) or unique last part.
        out: Folder of results, here or in a bucket.
        store: Folder of cutouts; `out/store` by default.
        workers: Ray Train workers; 0 trains in this process, without Ray.
        threads: CPU threads of a worker.
        gpu: Whether each worker has a GPU.
        address: Ray cluster, where there are workers; one that is started here by default.
        num_cpus: CPUs of a cluster that is started here; all by default.
        report: Called after each epoch with its number, losses and validation metrics.

    Returns:
        The run's record: `metrics["test"]`, `history`, `settings`, and `error` where `status` is not "done".

    Raises:
        InputError: one line that names the file and the key.
        SourceError: a volume can't be read.

    Example:
        >>> small = {"start_filters": 4, "n_blocks": 2, "epochs": 1}
        >>> record = mtneuro_ray.train("task2_2D_4class", "UNet_2D_4class", preset="smoke", overrides=small, out=out)
        >>> record.status, sorted(record.metrics)
        ('done', ['test', 'val'])
    """
    pair = load_pair(task, network, volume=volume, preset=preset, changes=dict(overrides or {}), where="overrides")
    folder = _folder(out)
    cutouts = CutoutStore(folder / "store" if store is None else _folder(store))
    place = Place(folder, cutouts, workers, threads, gpu, address, num_cpus)
    return train_pair(pair, place, report)


class SweepJob:
    """A tune space to run: searches, then repeats over seeds, on Ray. `mtneuro_ray.Sweep` is this class.

    Args:
        space: Packaged name (`mtneuro-ray list spaces`) or path of a TOML.
        volume: See `load_task`.
        preset: See `load_task`.
        overrides: `key=value` changes of every network.
        packing: Table of `mtneuro-ray profile`; the space's by default.
        out: Folder of results, here or in a bucket.
        store: Folder of cutouts; `out/store` by default.
        address: Ray cluster; one that is started here by default.
        num_cpus: CPUs of a cluster that is started here; all by default.

    Raises:
        InputError: one line that names the file and the key.

    Example:
        >>> sweep = mtneuro_ray.Sweep("smoke", out=out)
        >>> [(experiment.name, len(experiment.space.search.candidates)) for experiment in sweep.experiments]
        [('UNet_2D/task2_2D_4class', 4)]

        `sweep.run()` trains what is missing and returns the `Results`.
    """

    def __init__(
        self,
        space: str,
        *,
        volume: str | None = None,
        preset: str | None = None,
        overrides: Sequence[str] = (),
        packing: str | None = None,
        out: Address = "out",
        store: Address | None = None,
        address: str | None = None,
        num_cpus: int | None = None,
    ) -> None:
        self.settings, self.entries = load_sweep(space, volume=volume, preset=preset, overrides=overrides)
        run = self.settings.run
        self.resources = run if packing is None else run.replace("packing", packing=packing)
        self.out = _folder(out)
        self.store = CutoutStore(self.out / "store" if store is None else _folder(store))
        self.problems: list[str] = []
        self._address, self._num_cpus = address, num_cpus

    @property
    def experiments(self) -> list[Experiment]:
        """The experiments; the volumes are opened, for their identities."""
        return Experiment.of_entries(self.entries, identities_of)

    def run(self) -> Results:
        """Run what is missing; `problems` then says what went wrong, a line per run or experiment.

        Raises:
            InputError: the data do not fit the settings, or another sweep is at work in the output folder.
            SourceError: a volume can't be read.
        """
        from mtneuro_ray.cluster.sweep import Where, sweep

        where = Where(self.store, self.out, self._address, self._num_cpus)
        self.problems = sweep(self.entries, self.resources, where)
        return Results(self.out)


@dataclass(frozen=True, slots=True)
class Place:
    """Where and with what a run is trained.

    Attributes:
        out: Folder of results.
        store: Cutouts.
        workers: Ray Train workers; 0 trains in this process.
        threads: CPU threads of a worker.
        gpu: Whether each worker has a GPU.
        address: Ray cluster; one that is started here by default.
        num_cpus: CPUs of a cluster that is started here; all by default.
    """

    out: Folder
    store: CutoutStore
    workers: int = 0
    threads: int = 1
    gpu: bool = False
    address: str | None = None
    num_cpus: int | None = None


def train_pair(pair: Pair, place: Place, report: Report = _ignore) -> RunRecord:
    """Train a pair, and before it the encoder that it reads, unless their run files say that this is done.

    Raises:
        InputError: one line that names the file and the key.
        SourceError: a volume can't be read.
    """
    trained = pair.task if pair.encoder is None else pair.encoder.task
    check_batch(trained, pair.network.training.batch_size, str(pair.network_file))
    check_known_bounds(pair.task, pair.task_file)
    run = _run_of(pair)
    record = RunFolder(place.out).read(run.run_id)
    if record is not None and record.status == "done":
        return record
    if place.gpu and not place.workers:
        from mtneuro_ray.engine.local import check_gpu

        check_gpu("gpu")
    check_encoders([(pair.network, str(pair.network_file))])
    train_one = _train_on_ray if place.workers else _train_here
    encoder_run = run.encoder_run
    if encoder_run is not None and pair.encoder is not None and not has_weights(place.out, encoder_run):
        record = train_one(encoder_run, pair.encoder.task_file, place, report)
        if record.status != "done":
            return record
    return train_one(run, pair.task_file, place, report)


def _run_of(pair: Pair) -> RunSettings:
    encoder_run = None if pair.encoder is None else _run_of(pair.encoder)
    return RunSettings.of(pair.task, pair.network, "final", identities_of(pair), encoder_run)


def _train_here(run: RunSettings, task_file: Path, place: Place, report: Report) -> RunRecord:
    from mtneuro_ray.engine.local import train_here

    # Before the volume is read: a download that fails should not come last.
    encoder = fetch_encoder(run.network)
    data = TaskData(run.task, task_file, place.store).splits()
    return train_here(run, data, place.out, encoder=encoder, gpu=place.gpu, threads=place.threads, report=report)


def _train_on_ray(run: RunSettings, task_file: Path, place: Place, report: Report) -> RunRecord:
    from mtneuro_ray.cluster.connect import connected
    from mtneuro_ray.cluster.encoders import share_encoder
    from mtneuro_ray.cluster.ray_data import share_task
    from mtneuro_ray.cluster.ray_train import train_on_workers

    resources = ResourceSettings(
        workers_per_trial=place.workers, cpus_per_worker=place.threads, gpus_per_worker=float(place.gpu)
    )
    with connected(place.address, place.num_cpus, resources.of_a_trial):
        encoder = share_encoder(run.network) if run.network.starts_pretrained else None
        splits = share_task(place.store, run.task, task_file)
        return train_on_workers(run, splits, place.out, resources, encoder=encoder, report=report)


def _folder(address: Address) -> Folder:
    return address if isinstance(address, Folder) else Folder(address)
