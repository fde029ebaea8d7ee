"""Trainings of the Python API: one run, in this process or on Ray Train workers, and a sweep on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mtneuro_ray.api.task_data import Address, folder_of, store_of
from mtneuro_ray.config.pairs import Pair, load_pair
from mtneuro_ray.config.resources import ResourceSettings, bytes_of
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.ingest import identities_of, ingest
from mtneuro_ray.data.offline import known_volumes
from mtneuro_ray.data.sampling import check_batch
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.data.stored import splits_of
from mtneuro_ray.models.library import check_encoders, fetch_encoder
from mtneuro_ray.results.query import Results
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord, has_weights
from mtneuro_ray.sweep.experiment import Experiment

Report = Callable[[Mapping[str, Any]], None]


class SweepJob:
    """A tune space to run on Ray: searches, then repeats over seeds. `mtneuro_ray.Sweep` is this class.

    Args:
        space: Packaged name (`mtneuro-ray list spaces`) or path of a TOML.
        volume: See `load_task`.
        preset: See `load_task`.
        overrides: `key=value` changes of every network.
        packing: Table of `mtneuro-ray profile`; the space's by default.
        memory_budget: Bytes, or text such as "2GB", of a split in memory, beyond which it is streamed; the space's by
            default.
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
        memory_budget: int | str | None = None,
        out: Address = "out",
        store: Address | None = None,
        address: str | None = None,
        num_cpus: int | None = None,
    ) -> None:
        self.settings, self.entries = load_sweep(space, volume=volume, preset=preset, overrides=overrides)
        run = self.settings.run
        run = run if packing is None else run.replace("packing", packing=packing)
        self.resources = run if memory_budget is None else run.replace("--memory-budget", memory_budget=memory_budget)
        self.out, self.store = folder_of(out), store_of(store, out)
        self.problems: list[str] = []
        self._address, self._num_cpus = address, num_cpus

    @property
    def experiments(self) -> list[Experiment]:
        """The experiments. Their volumes are opened to read the identities."""
        return Experiment.of_entries(self.entries, identities_of)

    def run(self) -> Results:
        """Run what is missing. Afterwards `problems` has one line for each run or experiment that failed.

        Raises:
            InputError: the data do not fit the settings, or another sweep is at work in the output folder.
            SourceError: a volume can't be read.
        """
        from mtneuro_ray.cluster.driver import Where, sweep

        where = Where(self.store, self.out, self._address, self._num_cpus)
        self.problems = sweep(self.entries, self.resources, where)
        return Results(self.out)


class _Place(NamedTuple):
    """Folders and resources of a training."""

    out: Folder
    store: CutoutStore
    workers: int
    threads: int
    gpu: bool
    address: str | None
    num_cpus: int | None
    budget: int | None
    report: Report


def train(
    task: str,
    network: str,
    *,
    volume: str | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | Iterable[str] = (),
    out: Address = "out",
    store: Address | None = None,
    workers: int = 0,
    threads: int = 1,
    gpu: bool = False,
    address: str | None = None,
    num_cpus: int | None = None,
    memory_budget: int | str | None = None,
    report: Report = lambda epoch: None,
) -> RunRecord:
    """Train one run and evaluate it on the test split, unless its run file says that this is done.

    Args:
        task: Packaged name or path.
        network: Packaged name or path.
        volume: See `load_task`.
        preset: See `load_task`.
        overrides: Value of each key of the network to change, by path (`optimizer.learning_rate`) or unique last part;
            or `key=value` texts.
        out: Folder of results, here or in a bucket.
        store: Folder of cutouts; `out/store` by default.
        workers: Ray Train workers; 0 trains in this process, without Ray.
        threads: CPU threads of a worker.
        gpu: Whether each worker has a GPU.
        address: Ray cluster, where there are workers; one that is started here by default.
        num_cpus: CPUs of a cluster that is started here; all by default.
        memory_budget: Bytes, or text such as "2GB", of a split in memory, beyond which it is streamed; by default a
            third of the smallest object store of a node, or a tenth of this machine's memory.
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
    changes, texts = (dict(overrides), ()) if isinstance(overrides, Mapping) else ({}, overrides)
    pair = load_pair(task, network, volume=volume, preset=preset, overrides=texts, changes=changes, where="overrides")
    budget = None if memory_budget is None else bytes_of(memory_budget, "--memory-budget")
    place = _Place(folder_of(out), store_of(store, out), workers, threads, gpu, address, num_cpus, budget, report)
    return _train_pair(pair, place)


def _train_pair(pair: Pair, place: _Place) -> RunRecord:
    """Train a pair, after the encoder that it reads, unless their run files say that this is done."""
    check_batch(pair.trained_task, pair.network.training.batch_size, str(pair.network_file))
    known_volumes(pair.task, pair.task_file)
    run = _run_of(pair)
    record = RunFolder(place.out).read(run.run_id)
    if record is not None and record.status == "done":
        return record
    if place.gpu and not place.workers:
        from mtneuro_ray.engine.device import check_gpu

        check_gpu("gpu")
    check_encoders([(pair.network, str(pair.network_file))])
    train_one = _train_on_ray if place.workers else _train_here
    if run.encoder_run is not None and pair.encoder is not None and not has_weights(place.out, run.encoder_run):
        record = train_one(run.encoder_run, pair.encoder.task_file, place)
        if record.status != "done":
            return record
    return train_one(run, pair.task_file, place)


def _run_of(pair: Pair) -> RunSettings:
    encoder_run = None if pair.encoder is None else _run_of(pair.encoder)
    return RunSettings.of(pair.task, pair.network, "final", identities_of(pair), encoder_run)


def _train_here(run: RunSettings, task_file: Path, place: _Place) -> RunRecord:
    from mtneuro_ray.engine.execute import train_here

    # A download that fails should do so before the volume is read.
    encoder = fetch_encoder(run.network)
    data = splits_of(place.store, ingest(place.store, run.task, task_file).identities, run.task, place.budget)
    return train_here(run, data, place.out, encoder=encoder, gpu=place.gpu, threads=place.threads, report=place.report)


def _train_on_ray(run: RunSettings, task_file: Path, place: _Place) -> RunRecord:
    from mtneuro_ray.cluster.connect import connected
    from mtneuro_ray.cluster.ray_data import share_task
    from mtneuro_ray.cluster.shared import share_encoder
    from mtneuro_ray.cluster.trial import train_on_workers

    resources = ResourceSettings(
        workers_per_trial=place.workers, cpus_per_worker=place.threads, gpus_per_worker=float(place.gpu)
    )
    with connected(place.address, place.num_cpus, resources.of_a_trial):
        encoder = share_encoder(run.network) if run.network.starts_pretrained else None
        splits = share_task(place.store, run.task, task_file, place.budget)
        return train_on_workers(run, splits, place.out, resources, encoder=encoder, report=place.report)
