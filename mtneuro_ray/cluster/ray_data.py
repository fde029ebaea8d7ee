"""Ingest on Ray Data, and the splits that the workers of a node share.

No torch: it would take seconds, and hundreds of MB, of every process that only reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray import ObjectRef

from mtneuro_ray.cluster.ray_metrics import tell_read
from mtneuro_ray.cluster.ray_tasks import num_cpus, results
from mtneuro_ray.cluster.semantics import measure_attributes
from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.ingest import Cutout, fetch, ingest
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.data.semantics import Attributes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError, MTNeuroError, SourceError, StoreError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import VolumeSource

SplitRef = ObjectRef[SplitArrays]
SplitRefs = dict[Split, SplitRef]

_ERRORS: dict[str, type[MTNeuroError]] = {
    kind.__name__: kind for kind in (InputError, SourceError, StoreError, MTNeuroError)
}


def _row(cutout: Cutout, sources: list[VolumeSource]) -> dict[str, int | str]:
    return {"source": sources.index(cutout.source), "box": str(cutout.roi)}


_MOST_ROWS_PER_BLOCK = 64


class _FetchBatch:
    """Fetches the cutouts of a block of rows; an error is a row too, so that it reaches the driver in one line."""

    def __init__(self, store: CutoutStore, sources: list[VolumeSource]) -> None:
        self._store = store
        self._sources = sources

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[Any]]:
        pairs = list(zip(rows["source"], rows["box"], strict=True))
        threads = max(self._sources[int(source)].parallel_reads for source, _ in pairs)
        with ThreadPoolExecutor(min(threads, len(pairs))) as pool:
            fetched = list(pool.map(self._fetch, pairs))
        return {
            "source": [source for source, _ in pairs],
            "bytes": [num_bytes for num_bytes, _, _, _ in fetched],
            "seconds": [seconds for _, seconds, _, _ in fetched],
            "error": [error for _, _, error, _ in fetched],
            "kind": [kind for _, _, _, kind in fetched],
        }

    def _fetch(self, row: tuple[Any, str]) -> tuple[int, float, str, str]:
        began = time.perf_counter()
        try:
            source, box = row
            num_bytes = fetch(self._store, Cutout(self._sources[int(source)], Roi.parse(box)))
            return num_bytes, time.perf_counter() - began, "", ""
        except MTNeuroError as error:
            return 0, 0.0, str(error), type(error).__name__


def rows_per_block(rows: int, parallel_reads: int, cpus: int) -> int:
    """Cutouts of one task: what a process should have in flight at least, else enough tasks to keep all CPUs busy.

    A task costs Ray tens of milliseconds, a cutout a few; beyond the bound, progress would be told too seldom.
    """
    return max(parallel_reads, min(_MOST_ROWS_PER_BLOCK, -(-rows // (4 * cpus))))


def fetch_all(
    store: CutoutStore, cutouts: list[Cutout], advance: Callable[[int], None], *, beside_trials: bool = False
) -> None:
    """Fetch cutouts on whatever nodes there are: rows are coordinates, and tasks read and store them.

    Args:
        store: Where they go.
        cutouts: What to fetch.
        advance: Called with the bytes that each took from its source.
        beside_trials: Whether trials may hold all CPUs; then no CPU is asked for, and as many tasks run as there are.

    Raises:
        SourceError: a volume can't be read; the first such error ends the ingest, what was stored stays.
        StoreError: the store can't be written; so does this.
        InputError: a volume holds what can't be stored.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    sources = list({cutout.source.identity: cutout.source for cutout in cutouts}.values())
    by_identity = {source.identity: source for source in sources}
    rows = [_row(Cutout(by_identity[c.source.identity], c.roi), sources) for c in cutouts]
    cpus = num_cpus()
    blocks = -(-len(rows) // rows_per_block(len(rows), max(source.parallel_reads for source in sources), cpus))
    needs: dict[str, Any] = {"num_cpus": 1}
    if beside_trials:
        needs = {"num_cpus": 0, "concurrency": cpus}
    dataset = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        _FetchBatch(store, sources), batch_size=None, **needs
    )
    for row in dataset.iter_rows():
        if row["error"]:
            raise _ERRORS.get(row["kind"], MTNeuroError)(row["error"])
        tell_read(sources[int(row["source"])].uri, int(row["bytes"]), float(row["seconds"]))
        advance(int(row["bytes"]))


# No CPU of its own: it must run while trials hold all of them, when a lost node's splits are built again. The number of
# images is a result of its own, so that the driver can wait for it, and hear of errors, without fetching the images.
@ray.remote(num_cpus=0, max_retries=3, num_returns=2)
def _load(
    store: CutoutStore,
    identities: tuple[str, str | None],
    task: TaskSettings,
    split: Split,
    targets: dict[Split, Attributes],
) -> tuple[SplitArrays, int]:
    image, annotation = identities
    arrays = load_split(store, image, annotation, task, split, targets)
    return arrays, len(arrays)


def share_task(store: CutoutStore, task: TaskSettings, task_file: Path, *, beside_trials: bool = False) -> SplitRefs:
    """Ingest what the store lacks of a task, and make each split one object that all workers of a node map.

    Args:
        store: Cutouts.
        task: The task.
        task_file: Its file, for errors and relative paths.
        beside_trials: Whether trials may hold all CPUs; then none is asked for.

    Raises:
        InputError: the data do not fit the settings.
        SourceError: a volume can't be read.
        StoreError: voxels are missing or damaged.
    """
    volumes = ingest(store, task, task_file, partial(fetch_all, beside_trials=beside_trials))
    identities = (volumes.image.identity, None if volumes.annotation is None else volumes.annotation.identity)
    targets: dict[Split, Attributes] = {}
    if task.declaration.labels == "corner":
        # Small, and kept by the driver: a split that is built again, while trials hold all CPUs, needs no such task.
        targets = measure_attributes(store, str(identities[1]), task, beside_trials=beside_trials)
    splits = dict.fromkeys(cube.split for cube in task.cubes)
    # Two references each, which Ray types as one.
    loads: dict[Split, Any] = {split: _load.remote(store, identities, task, split, targets) for split in splits}
    results([count for _, count in loads.values()], unread=[arrays for arrays, _ in loads.values()])
    return {split: arrays for split, (arrays, _) in loads.items()}


def get_splits(refs: SplitRefs) -> dict[Split, SplitArrays]:
    """The splits, as read-only views of this node's shared memory."""
    return dict(zip(refs, ray.get(list(refs.values())), strict=True))
