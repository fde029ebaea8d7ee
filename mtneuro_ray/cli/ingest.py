"""`mtneuro-ray ingest`."""

from __future__ import annotations

import argparse

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.data.bounds import check_known_bounds
from mtneuro_ray.data.sampling import channel_boxes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.storage.folder import Folder


def store_of(options: argparse.Namespace) -> CutoutStore:
    """The cutout store that the options name.

    Raises:
        MTNeuroError: it can't be reached.
    """
    folder = Folder(options.store) if options.store else Folder(options.out) / "store"
    folder.check()
    return CutoutStore(folder)


def out_of(options: argparse.Namespace) -> Folder:
    """The output folder that the options name.

    Raises:
        MTNeuroError: it can't be reached.
    """
    folder = Folder(options.out)
    folder.check()
    return folder


def run(options: argparse.Namespace) -> int:
    """Bring what a task reads into the store."""
    task, file = load_task(options.task, options.volume, options.preset)
    check_known_bounds(task, file)
    store = store_of(options)

    from mtneuro_ray.cluster.connect import connected
    from mtneuro_ray.cluster.ray_data import fetch_all
    from mtneuro_ray.data.prepare import ingest

    with connected(options.address, options.num_cpus):
        volumes = ingest(store, task, file, fetch_all)
    needed = channel_boxes(task)[: len(volumes.channels)]
    voxels = sum(box.num_voxels for boxes in needed for box in boxes)
    print(f"{task.name}: {voxels} voxels of {len(volumes.channels)} channels are in {store.folder}")
    return 0
