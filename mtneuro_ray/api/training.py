"""One run, trained in this process or on Ray Train workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtneuro_ray.api.task_data import Address, TaskData, folder_of
from mtneuro_ray.config.pairs import Pair, load_pair
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.ingest import check_known_bounds, identities_of
from mtneuro_ray.data.sampling import check_batch
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.models.library import check_encoders, fetch_encoder
from mtneuro_ray.storage.checkpoints import has_weights
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord

Report = Callable[[Mapping[str, Any]], None]


def _ignore(epoch: Mapping[str, Any]) -> None:
    """A report that nobody reads."""


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
    folder = folder_of(out)
    cutouts = CutoutStore(folder / "store" if store is None else folder_of(store))
    place = Place(folder, cutouts, workers, threads, gpu, address, num_cpus)
    return train_pair(pair, place, report)


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
        from mtneuro_ray.engine.device import check_gpu

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
    from mtneuro_ray.engine.execute import train_here

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
