"""`mtneuro-ray train`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from mtneuro_ray.cli.ingest import store_of
from mtneuro_ray.config.loading import Pair, check_trainable, load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ResourceSettings
from mtneuro_ray.data.bounds import check_known_bounds
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError
from mtneuro_ray.plan import check_batch
from mtneuro_ray.results.record import RunFolder, RunRecord
from mtneuro_ray.results.report import run_report
from mtneuro_ray.storage import Folder


def run(options: argparse.Namespace) -> int:
    """Train one run, unless it is done already, and print what it has found."""
    seed = [] if options.seed is None else [f"seed={options.seed}"]
    pair = load_pair(
        options.task,
        options.network,
        volume=options.volume,
        preset=options.preset,
        overrides=[*options.overrides, *seed],
    )
    if options.workers < 0 or options.threads < 1:
        raise InputError("--workers, --threads: accepted: 0 or more workers, 1 or more threads")
    check_trainable(pair)
    check_batch(pair.task, pair.network.batch_size, str(pair.network_file))
    check_known_bounds(pair.task, pair.task_file)
    store, out = store_of(options), Folder(options.out)
    record = _train_here(options, pair, store, out) if options.workers == 0 else _on_ray(options, pair, store, out)
    print(run_report(record))
    print(f"\nrun file: {out}/runs/{record.run_id}.json")
    return 0 if record.status == "done" else 1


def _settings(pair: Pair, identities: list[str]) -> RunSettings:
    return RunSettings(task=pair.task, network=pair.network, role="final", data=tuple(identities))


def _train_here(options: argparse.Namespace, pair: Pair, store: CutoutStore, out: Folder) -> RunRecord:
    from mtneuro_ray.data.samples import load_split
    from mtneuro_ray.runtime.local import check_gpu, fetch_all, train_here
    from mtneuro_ray.runtime.prepare import ingest

    if options.gpu:
        check_gpu("--gpu")
    volumes = ingest(store, pair.task, pair.task_file, fetch_all)
    identities = [channel.identity for channel in volumes.channels]
    run = _settings(pair, identities)
    known = RunFolder(out).read(run.run_id)
    if known is not None and known.status == "done":
        return known
    annotation = volumes.annotation.identity if volumes.annotation else None
    splits = dict.fromkeys(cube.split for cube in pair.task.cubes)
    data = {split: load_split(store, volumes.image.identity, annotation, pair.task, split) for split in splits}
    return train_here(run, data, out, gpu=options.gpu, threads=options.threads, report=_show)


def _on_ray(options: argparse.Namespace, pair: Pair, store: CutoutStore, out: Folder) -> RunRecord:
    from mtneuro_ray.runtime.cluster import connected
    from mtneuro_ray.runtime.prepare import ingest
    from mtneuro_ray.runtime.ray_data import fetch_all, share_splits
    from mtneuro_ray.runtime.ray_train import train_on_workers

    resources = ResourceSettings(
        workers_per_trial=options.workers, cpus_per_worker=options.threads, gpus_per_worker=float(options.gpu)
    )
    with connected(options.address, options.num_cpus):
        volumes = ingest(store, pair.task, pair.task_file, fetch_all)
        run = _settings(pair, [channel.identity for channel in volumes.channels])
        known = RunFolder(out).read(run.run_id)
        if known is not None and known.status == "done":
            return known
        return train_on_workers(run, share_splits(store, pair.task, volumes), out, resources, report=_show)


def _show(entry: Mapping[str, Any]) -> None:
    from mtneuro_ray.runtime.progress import say

    numbers = "  ".join(f"{name} {value:.4f}" for name, value in entry.items() if name != "epoch")
    say(f"epoch {entry['epoch']}: {numbers}")
