"""`mtneuro-ray train`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mtneuro_ray.cli.ingest import out_of, store_of
from mtneuro_ray.cli.options import Address, Network, NumCpus, Out, Overrides, Preset, Store, Task, Volume
from mtneuro_ray.cli.plan import check_batches
from mtneuro_ray.config.loading import Pair, load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ResourceSettings
from mtneuro_ray.data.bounds import check_known_bounds
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.prepare import check_encoders
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results.run_report import run_report
from mtneuro_ray.storage.checkpoints import has_weights
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord


@dataclass(frozen=True, slots=True)
class _Machine:
    """Where and with what a run is trained, as the options of `train` say."""

    workers: int
    threads: int
    gpu: bool
    address: str | None
    num_cpus: int | None


def run(
    task: Task,
    network: Network,
    seed: Annotated[int | None, typer.Option(help="default: the network's")] = None,
    volume: Volume = None,
    preset: Preset = None,
    overrides: Overrides = [],
    workers: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=1024, help="Ray Train workers; 0 trains in this process"),
    ] = 1,
    threads: Annotated[int, typer.Option(metavar="N", min=1, max=4096, help="CPU threads of a worker")] = 1,
    gpu: Annotated[bool, typer.Option("--gpu", help="one GPU for each worker")] = False,
    out: Out = "out",
    store: Store = None,
    address: Address = None,
    num_cpus: NumCpus = None,
) -> int:
    """Train one run, unless it is done already, and print what it has found."""
    seeded = [] if seed is None else [f"seed={seed}"]
    pair = load_pair(task, network, volume=volume, preset=preset, overrides=[*overrides, *seeded])
    check_batches(pair, pair.network, str(pair.network_file))
    check_known_bounds(pair.task, pair.task_file)
    settings = _settings_of(pair)
    machine = _Machine(workers, threads, gpu, address, num_cpus)
    cutouts, folder = store_of(store, out), out_of(out)
    record = RunFolder(folder).read(settings.run_id)
    if record is None or record.status != "done":
        check_encoders([(pair.network, str(pair.network_file))])
        train = _train_here if workers == 0 else _train_on_ray
        if (
            settings.encoder_run is not None
            and pair.encoder is not None
            and not has_weights(folder, settings.encoder_run)
        ):
            record = train(machine, settings.encoder_run, pair.encoder.task_file, cutouts, folder)
        if settings.encoder_run is None or has_weights(folder, settings.encoder_run):
            record = train(machine, settings, pair.task_file, cutouts, folder)
    assert record is not None
    print(run_report(record))
    print(f"\nrun file: {folder / f'runs/{record.run_id}.json'}")
    return 0 if record.status == "done" else 1


def _settings_of(pair: Pair) -> RunSettings:
    identities = [channel.identity for channel in open_volumes(pair.task, pair.task_file).channels]
    source = None if pair.encoder is None else _settings_of(pair.encoder)
    return RunSettings.of(pair.task, pair.network, "final", identities, source)


def _train_here(
    machine: _Machine, settings: RunSettings, task_file: Path, store: CutoutStore, out: Folder
) -> RunRecord:
    from mtneuro_ray.data.prepare import fetch_encoder, ingest
    from mtneuro_ray.data.samples import load_splits
    from mtneuro_ray.engine.local import check_gpu, fetch_all, train_here

    if machine.gpu:
        check_gpu("--gpu")
    task = settings.task
    # Before the volume is read: a download that fails should not come last.
    encoder = fetch_encoder(settings.network)
    volumes = ingest(store, task, task_file, fetch_all)
    annotation = volumes.annotation.identity if volumes.annotation else None
    data = load_splits(store, volumes.image.identity, annotation, task)
    return train_here(settings, data, out, encoder=encoder, gpu=machine.gpu, threads=machine.threads, report=_show)


def _train_on_ray(
    machine: _Machine, settings: RunSettings, task_file: Path, store: CutoutStore, out: Folder
) -> RunRecord:
    from mtneuro_ray.cluster.connect import connected
    from mtneuro_ray.cluster.encoders import share_encoder
    from mtneuro_ray.cluster.ray_data import share_task
    from mtneuro_ray.cluster.ray_train import train_on_workers

    resources = ResourceSettings(
        workers_per_trial=machine.workers, cpus_per_worker=machine.threads, gpus_per_worker=float(machine.gpu)
    )
    with connected(machine.address, machine.num_cpus, resources.of_a_trial):
        encoder = share_encoder(settings.network) if settings.network.starts_pretrained else None
        splits = share_task(store, settings.task, task_file)
        return train_on_workers(settings, splits, out, resources, encoder=encoder, report=_show)


def _show(entry: Mapping[str, Any]) -> None:
    from mtneuro_ray.progress import say

    numbers = "  ".join(f"{name} {value:.4f}" for name, value in entry.items() if name != "epoch")
    say(f"epoch {entry['epoch']}: {numbers}")
