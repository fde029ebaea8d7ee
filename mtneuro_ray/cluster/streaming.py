"""Splits over the memory budget on Ray: what is known of them, and the pipeline that reads them for each worker."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import ray
import ray.data
from ray.data import ExecutionResources

from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.ahead import Stored, Voxels, read_ahead
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.samples import SplitData
from mtneuro_ray.data.semantics import Attributes
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.data.stored import SplitPart, StoredSplit, default_budget, describe, joined, parts_of
from mtneuro_ray.data.stored_cubes import CubesPart, StoredCubes
from mtneuro_ray.errors import MTNeuroError, rebuilt
from mtneuro_ray.rng import Indices

# Windows that are read at once for one worker.
_AT_ONCE = 2


def quiet_context() -> ray.data.DataContext:
    """Ray Data's settings of this process, without progress bars; it logs errors alone from here on."""
    # Ray Data sets its level when it is imported, and does not heed that of `ray.init`.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    return context


def node_budget() -> int:
    """Bytes of a split in memory by default: a third of the smallest object store of a node."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    offers = [node["Resources"].get("object_store_memory", 0) for node in nodes if node["Alive"]]
    return int(min((offer for offer in offers if offer), default=3 * default_budget()) // 3)


# No CPUs, as for splits that are shared: they must run while trials hold all of them.
@ray.remote(num_cpus=0, max_retries=3)
def _describe(
    store: CutoutStore, identities: Identities, task: TaskSettings, split: Split, start: int, stop: int
) -> SplitPart | CubesPart:
    return describe(store, identities, task, split, start, stop)


@ray.remote(num_cpus=0, max_retries=3, num_returns=2)
def _join(about: Mapping[str, Any], *parts: SplitPart | CubesPart) -> tuple[SplitData, list[str]]:
    found = joined(parts=parts, **about)
    return found, found.absent(found.task.classes)


def describe_split(
    store: CutoutStore,
    identities: Identities,
    task: TaskSettings,
    split: Split,
    targets: Attributes | None,
    budget: int,
    tasks: int,
) -> Any:
    """References to a split that stays in the store, and to the classes that it lacks.

    Its labels are read by about as many tasks as `tasks`, each of which reads a part of the split, a little at a time.
    """
    about = {
        "store": store,
        "identities": identities,
        "task": task,
        "split": split,
        "budget": budget,
        "targets": targets,
    }
    parts = [_describe.remote(store, identities, task, split, *part) for part in parts_of(task, split, number=tasks)]
    joined: Any = _join
    return joined.remote(about, *parts)


def streaming(data: SplitData) -> SplitData:
    """The same split, read by Ray Data where its voxels stay in the store."""
    return replace(data, reader=stream) if isinstance(data, StoredSplit | StoredCubes) else data


def stream(split: Stored, batches: Iterable[Indices]) -> Iterator[Voxels]:
    """The voxels of batches of samples, in order, read by tasks of Ray Data on any node.

    One pipeline reads one worker's share: a row for each window of batches (`data.stored`), in their order.

    Raises:
        StoreError: voxels are missing or damaged.
    """
    every = list(batches)
    windows = list(split.windows(every))
    if len(windows) <= 1:
        # Less than a pipeline takes to start.
        yield from read_ahead(split, every)
        return
    context = quiet_context()
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=split.budget)
    # Ray types functions without further arguments.
    read: Any = _read
    dataset = ray.data.from_items(
        [{"samples": np.concatenate(window).tobytes()} for window in windows], override_num_blocks=len(windows)
    ).map_batches(
        read,
        batch_size=None,
        fn_kwargs={"split": split},
        num_cpus=0,  # trials may hold all CPUs
        concurrency=_AT_ONCE,
    )
    blocks = iter(dataset.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1))
    yield from _cut(blocks, [len(batch) for batch in every])


def _read(rows: Mapping[str, Any], split: Stored) -> dict[str, Any]:
    """The images and masks of a window's samples, in the order of its batches.

    An error of this package is a row too: Ray keeps no more than the text of one that is raised.
    """
    samples = np.concatenate([np.frombuffer(row, np.int64) for row in rows["samples"]])
    unique, places = np.unique(samples, return_inverse=True)
    try:
        images, masks = split.read(unique)
    except MTNeuroError as error:
        return {"error": np.array([str(error)]), "kind": np.array([type(error).__name__])}
    return {"images": images[places], **({} if masks is None else {"masks": masks[places]})}


def _cut(blocks: Iterator[Mapping[str, Any]], sizes: Iterable[int]) -> Iterator[Voxels]:
    """Copies of adjacent rows of blocks, as many as each size says; blocks lie in shared memory."""
    block: Mapping[str, Any] = {"images": np.empty(0)}
    at = 0
    for size in sizes:
        pieces: list[Mapping[str, Any]] = []
        while size:
            if at == len(block["images"]):
                block, at = next(blocks), 0
                if "error" in block:
                    raise rebuilt(str(block["kind"][0]), str(block["error"][0]))
            stop = min(at + size, len(block["images"]))
            pieces.append({name: rows[at:stop] for name, rows in block.items()})
            size, at = size - (stop - at), stop
        joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        yield joined["images"], joined.get("masks")
