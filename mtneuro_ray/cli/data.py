"""`mtneuro-ray ingest`: the data of a task in the store."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from mtneuro_ray.cli.options import Address, NumCpus, Out, Preset, Store, Task, Volume, store_of
from mtneuro_ray.config.loading import load_task
from mtneuro_ray.data import ingest
from mtneuro_ray.data.offline import known_volumes
from mtneuro_ray.data.verify import verify as verify_stored


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
    known_volumes(settings, file)
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
