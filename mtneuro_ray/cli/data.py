"""`mtneuro-ray ingest` and `mtneuro-ray export`: the data of a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from mtneuro_ray.cli.options import Address, NumCpus, Out, Preset, Store, Task, Volume, store_of
from mtneuro_ray.config.loading import load_task
from mtneuro_ray.data import ingest, offline
from mtneuro_ray.data.verify import verify as verify_stored
from mtneuro_ray.errors import InputError


def run_ingest(
    task: Task,
    volume: Volume = None,
    preset: Preset = None,
    out: Out = "out",
    store: Store = None,
    address: Address = None,
    num_cpus: NumCpus = None,
    verify: Annotated[
        bool, Option("--verify", help="read a sample again in other cuts and compare it with the store")
    ] = False,
) -> int:
    """Read a task's voxels into the store."""
    settings, file = load_task(task, volume, preset)
    offline.check_known_bounds(settings, file)
    cutouts = store_of(store, out)
    # A wrong volume is reported before a cluster is started.
    ingest.open_volumes(settings, file)

    from mtneuro_ray.cluster.connect import connected
    from mtneuro_ray.cluster.ray_data import fetch_all

    with connected(address, num_cpus):
        volumes = ingest.ingest(cutouts, settings, file, fetch_all)
    voxels = sum(box.num_voxels for _, boxes in volumes.needed(settings) for box in boxes)
    if verify:
        checked = verify_stored(cutouts, settings, volumes)
        print(f"{settings.name}: {checked} voxels were read again in other cuts and are those in the store")
    print(f"{settings.name}: {voxels} voxels of {len(volumes.channels)} channels are in {cutouts.folder}")
    return 0


def run_export(
    what: Annotated[Literal["data"], Argument(help="data: the splits of a task")],
    task: Task,
    volume: Volume = None,
    preset: Preset = None,
    format: Annotated[Literal["npz", "npy"], Option(help="a file per split, or one per array")] = "npz",
    out: Out = "out",
    store: Store = None,
) -> int:
    """Write a task's splits as NumPy files into OUT/data/TASK."""
    from mtneuro_ray.api import task_data
    from mtneuro_ray.data.export import export_splits

    if "://" in out:
        raise InputError(f"--out: {out}: NumPy files are written to this machine; accepted: a path")
    loaded = task_data.load_task(task, volume=volume, preset=preset, store=store_of(store, out).folder)
    folder = Path(out) / "data" / loaded.settings.name
    for file in export_splits(loaded.settings, loaded.splits(), folder, format):
        print(file)
    return 0
