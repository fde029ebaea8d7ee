"""Ingest on Ray Data, and the splits that the workers of a node share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray import ObjectRef

from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.ingest import Cutout, Volumes, fetch
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.data.source import VolumeSource
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError, MTNeuroError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.runtime.prepare import ingest

SplitRef = ObjectRef[SplitArrays]
SplitRefs = dict[Split, SplitRef]

_ERRORS: dict[str, type[MTNeuroError]] = {kind.__name__: kind for kind in (InputError, SourceError, MTNeuroError)}


def _row(cutout: Cutout, sources: list[VolumeSource]) -> dict[str, int | str]:
    return {"source": sources.index(cutout.source), "box": str(cutout.roi)}


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
            "bytes": [num_bytes for num_bytes, _, _ in fetched],
            "error": [error for _, error, _ in fetched],
            "kind": [kind for _, _, kind in fetched],
        }

    def _fetch(self, row: tuple[Any, str]) -> tuple[int, str, str]:
        try:
            source, box = row
            return fetch(self._store, Cutout(self._sources[int(source)], Roi.parse(box))), "", ""
        except MTNeuroError as error:
            return 0, str(error), type(error).__name__


def fetch_all(store: CutoutStore, cutouts: list[Cutout], advance: Callable[[int], None]) -> None:
    """Fetch cutouts on whatever nodes there are: rows are coordinates, and tasks read and store them.

    Raises:
        SourceError: a volume can't be read; the first such error ends the ingest, what was stored stays.
        InputError: a volume holds what can't be stored.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    sources = list({cutout.source.identity: cutout.source for cutout in cutouts}.values())
    by_identity = {source.identity: source for source in sources}
    rows = [_row(Cutout(by_identity[c.source.identity], c.roi), sources) for c in cutouts]
    # A block is what one task reads at once: as many cutouts as are worth having in flight.
    per_block = max(source.parallel_reads for source in sources)
    blocks = max(1, -(-len(rows) // per_block))
    dataset = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        _FetchBatch(store, sources), batch_size=None, num_cpus=1
    )
    for row in dataset.iter_rows():
        if row["error"]:
            raise _ERRORS.get(row["kind"], MTNeuroError)(row["error"])
        advance(int(row["bytes"]))


# No CPU of its own: it must run while trials hold all of them, when a lost node's splits are built again.
@ray.remote(num_cpus=0, max_retries=3)
def _load(store: CutoutStore, identities: tuple[str, str | None], task: TaskSettings, split: Split) -> SplitArrays:
    image, annotation = identities
    return load_split(store, image, annotation, task, split)


def share_task(store: CutoutStore, task: TaskSettings, task_file: Path) -> SplitRefs:
    """Ingest what the store lacks of a task and share its splits.

    Raises:
        InputError: the data do not fit the settings.
        SourceError: a volume can't be read.
    """
    return share_splits(store, task, ingest(store, task, task_file, fetch_all))


def share_splits(store: CutoutStore, task: TaskSettings, volumes: Volumes) -> SplitRefs:
    """Each split of a task as one object that every worker of a node maps into its memory.

    Raises:
        InputError: an annotation holds a label that is no class.
        StoreError: voxels are missing or damaged.
    """
    annotation = None if volumes.annotation is None else volumes.annotation.identity
    splits = dict.fromkeys(cube.split for cube in task.cubes)
    refs = {split: _load.remote(store, (volumes.image.identity, annotation), task, split) for split in splits}
    ray.wait(list(refs.values()), num_returns=len(refs), fetch_local=False)
    for ref in refs.values():
        _raise_own(ref)
    return refs


@ray.remote(num_cpus=0)
def _touch(split: SplitArrays) -> int:
    return len(split)


def _raise_own(ref: SplitRef) -> None:
    try:
        ray.get(_touch.remote(ref))
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, MTNeuroError):
            raise cause from None
        raise


def get_splits(refs: SplitRefs) -> dict[Split, SplitArrays]:
    """The splits, as read-only views of this node's shared memory."""
    return dict(zip(refs, ray.get(list(refs.values())), strict=True))
