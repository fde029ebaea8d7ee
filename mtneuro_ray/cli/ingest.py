"""`mtneuro-ray ingest`."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from mtneuro_ray.cli.options import Address, NumCpus, Out, Preset, Store, Task, Volume, store_of
from mtneuro_ray.config.loading import load_task
from mtneuro_ray.data.ingest import check_known_bounds, open_volumes
from mtneuro_ray.data.ingest import verify as verify_store
from mtneuro_ray.data.sampling import channel_boxes


def run(
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
    check_known_bounds(settings, file)
    cutouts = store_of(store, out)
    # A wrong volume is reported before a cluster is started.
    open_volumes(settings, file)

    from mtneuro_ray.cluster.connect import connected
    from mtneuro_ray.cluster.ray_data import fetch_all
    from mtneuro_ray.data.ingest import ingest

    with connected(address, num_cpus):
        volumes = ingest(cutouts, settings, file, fetch_all)
    needed = channel_boxes(settings)[: len(volumes.channels)]
    voxels = sum(box.num_voxels for boxes in needed for box in boxes)
    if verify:
        checked = verify_store(cutouts, settings, volumes)
        print(f"{settings.name}: {checked} voxels were read again in other cuts and are those in the store")
    print(f"{settings.name}: {voxels} voxels of {len(volumes.channels)} channels are in {cutouts.folder}")
    return 0
