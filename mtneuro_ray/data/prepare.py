"""From a task to stored voxels: the steps before any training, wherever it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.ingest import Cutout, Volumes, fetch, ingest_lock, open_volumes, pending
from mtneuro_ray.data.sampling import remainders
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.progress import ByteProgress

if TYPE_CHECKING:
    from torch import Tensor


logger = logging.getLogger(__name__)


class Fetcher(Protocol):
    """Something that fetches cutouts into the store: in this process or on a cluster."""

    def __call__(self, store: CutoutStore, cutouts: list[Cutout], advance: Callable[[int], None]) -> None:
        """Fetch all of them; call `advance` with the bytes that each took from its source."""


def fetch_here(store: CutoutStore, cutouts: list[Cutout], advance: Callable[[int], None]) -> None:
    """Fetch cutouts one by one, in this process."""
    for cutout in cutouts:
        advance(fetch(store, cutout))


def ingest(store: CutoutStore, task: TaskSettings, task_file: Path, fetch_all: Fetcher = fetch_here) -> Volumes:
    """Open a task's volumes, say which voxels of its cubes no image holds, and read what the store lacks.

    Raises:
        InputError: a channel is malformed, or a cube lies outside its volume.
        SourceError: a volume can't be read. What was read is kept; the next ingest goes on from there.
    """
    volumes = open_volumes(task, task_file)
    if left_out := remainders(task):
        logger.warning("%s: %d of %d cubes: %s", task.name, len(left_out), len(task.cubes), left_out[0])
    with ingest_lock(store):
        cutouts = pending(store, task, volumes)
        if cutouts:
            total = sum(cutout.roi.num_voxels * cutout.source.dtype.itemsize for cutout in cutouts)
            with ByteProgress(f"ingest {task.name}: {len(cutouts)} cutouts", total) as progress:
                fetch_all(store, cutouts, progress.advance)
    return volumes


def fetch_encoder(network: NetworkSettings) -> Mapping[str, Tensor] | None:
    """The weights that a network's encoder starts from; None where these are random.

    Raises:
        InputError: they can't be had, or are not those of the encoder.
    """
    if not network.starts_pretrained:
        return None
    # Slow to import, and not needed by what has no encoder.
    from mtneuro_ray.models.pretrained import fetch_encoder_weights

    return fetch_encoder_weights(network)


def check_encoders(networks: Iterable[tuple[NetworkSettings, str]]) -> None:
    """Check that the library has the encoders and weights that networks name, each with the place that names it.

    Raises:
        InputError: it has not.
    """
    distinct = {
        network.model.model_dump_json(): (network, where)
        for network, where in networks
        if network.declaration.is_pretrained
    }
    if distinct:
        from mtneuro_ray.models.pretrained import check_encoder

        for network, where in distinct.values():
            check_encoder(network, where)
