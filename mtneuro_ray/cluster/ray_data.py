"""A task's data on Ray: the ingest, a readout's attributes, and the splits that the workers of a node share.

No torch: it would take seconds, and hundreds of MB, of every process that only reads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import ray
import ray.data
from ray import ObjectRef

from mtneuro_ray.cluster.ray_metrics import tell_read
from mtneuro_ray.cluster.streaming import describe_split, node_budget, quiet_context, streaming
from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.cubes import load_whole
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.ingest import Cutout, Volumes, fetch, ingest
from mtneuro_ray.data.samples import SplitData, log_absent
from mtneuro_ray.data.sampling import Block, blocks
from mtneuro_ray.data.semantics import Attributes, Chunk, Tissue, by_split, chunks, measure, read_tissue
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.data.stored import exceeds
from mtneuro_ray.errors import MTNeuroError, rebuilt
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import VolumeSource

T = TypeVar("T")
SplitRefs = dict[Split, ObjectRef[SplitData]]

# How long an error waits for those of the other tasks, which mostly have the same cause.
_OTHERS_S = 5.0
_MOST_ROWS_PER_BLOCK = 64
# One process reads this much in the seconds that Ray and Ray Data take to start.
_SMALL_BYTES = 32 * 2**20


def num_cpus() -> int:
    """CPUs of the cluster, at least 1."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]


def results(refs: Sequence[ObjectRef[T]], unread: Sequence[ObjectRef[Any]] = ()) -> list[T]:
    """Wait for tasks and fetch their results.

    Args:
        refs: Results to fetch.
        unread: Further results of the same tasks, which stay where they are.

    Raises:
        MTNeuroError: an error of this package in a task, or in one whose result it takes.
        OSError: likewise; a disk that fails is not the task's fault.
        RayTaskError: any other error in a task.
    """
    try:
        return list(ray.get(list(refs)))
    except ray.exceptions.RayTaskError as error:
        every = [*refs, *unread]
        ray.wait(every, num_returns=len(every), timeout=_OTHERS_S, fetch_local=False)
        for ref in every:
            # Ray prints an error once more, with all its lines, where nobody has asked for one of its results.
            with suppress(Exception):
                ray.get(ref, timeout=0)
        cause: BaseException | None = error
        while isinstance(cause, ray.exceptions.RayTaskError):
            cause = cause.cause
        raise (cause if isinstance(cause, MTNeuroError | OSError) else error) from None


def _fetch_batch(rows: Mapping[str, Any], store: CutoutStore, sources: list[VolumeSource]) -> dict[str, list[Any]]:
    """Fetch the cutouts of a block of rows; an error is a row too, so that it reaches the driver in one line."""

    def fetch_row(source: VolumeSource, box: str) -> tuple[int, float, str, str]:
        began = time.perf_counter()
        try:
            return fetch(store, Cutout(source, Roi.parse(box))), time.perf_counter() - began, "", ""
        except MTNeuroError as error:
            return 0, 0.0, str(error), type(error).__name__

    asked = [sources[int(number)] for number in rows["source"]]
    threads = max(source.parallel_reads for source in asked)
    with ThreadPoolExecutor(min(threads, len(asked))) as pool:
        fetched = zip(*pool.map(fetch_row, asked, rows["box"]), strict=True)
    columns = dict(zip(("bytes", "seconds", "error", "kind"), map(list, fetched), strict=True))
    return {"source": list(rows["source"]), **columns}


def rows_per_block(rows: int, parallel_reads: int, cpus: int) -> int:
    """Cutouts of one task: at least what a process should have in flight, else enough tasks to keep all CPUs busy.

    A task costs Ray tens of milliseconds, a cutout a few; beyond the bound, progress would be told too seldom.
    """
    return max(parallel_reads, min(_MOST_ROWS_PER_BLOCK, -(-rows // (4 * cpus))))


def fetch_all(
    store: CutoutStore, cutouts: list[Cutout], advance: Callable[[int], None], *, beside_trials: bool = False
) -> None:
    """Fetch cutouts on whatever nodes there are: rows are coordinates, and tasks read and store them.

    Args:
        store: Where the cutouts go.
        cutouts: Cutouts to fetch.
        advance: Called with the bytes that each took from its source.
        beside_trials: Whether trials may hold all CPUs; then no CPU is asked for, and as many tasks run as there are.

    Raises:
        SourceError: a volume can't be read; the first such error ends the ingest, what was stored stays.
        StoreError: the store can't be written; so does this.
        InputError: a volume holds what can't be stored.
    """
    quiet_context()
    sources, rows = _rows(cutouts)
    cpus = num_cpus()
    in_flight = max(source.parallel_reads for source in sources)
    needs: dict[str, Any] = {"num_cpus": 0, "concurrency": cpus} if beside_trials else {"num_cpus": 1}
    # Ray types functions without further arguments.
    fetch_batch: Any = _fetch_batch
    dataset = ray.data.from_items(
        rows, override_num_blocks=-(-len(rows) // rows_per_block(len(rows), in_flight, cpus))
    ).map_batches(fetch_batch, batch_size=None, fn_kwargs={"store": store, "sources": sources}, **needs)
    _take(dataset.iter_rows(), sources, advance)


def fetch_here(
    store: CutoutStore, cutouts: list[Cutout], advance: Callable[[int], None], joined: threading.Event
) -> None:
    """Fetch cutouts in this process, as `fetch_all` does on Ray; its metrics are told once Ray is `joined`."""
    sources, rows = _rows(cutouts)
    size = max(source.parallel_reads for source in sources)
    told: list[tuple[str, int, float]] = []
    try:
        for at in range(0, len(rows), size):
            batch = _fetch_batch({key: [row[key] for row in rows[at : at + size]] for key in rows[0]}, store, sources)
            fetched = (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))
            _take(fetched, sources, advance, lambda *read: told.append(read))
    finally:
        joined.wait()
        for read in told:
            tell_read(*read)


def is_small(cutouts: Iterable[Cutout]) -> bool:
    """Whether this process reads cutouts in less time than Ray and Ray Data take to start."""
    return sum(cutout.num_bytes for cutout in cutouts) <= _SMALL_BYTES


def _rows(cutouts: Iterable[Cutout]) -> tuple[list[VolumeSource], list[dict[str, Any]]]:
    """The distinct volumes, and a row for each cutout with the number of its volume and its box."""
    sources = {cutout.source.identity: cutout.source for cutout in cutouts}
    numbers = {identity: number for number, identity in enumerate(sources)}
    return list(sources.values()), [{"source": numbers[each.source.identity], "box": str(each.roi)} for each in cutouts]


def _take(
    rows: Iterable[Mapping[str, Any]],
    sources: Sequence[VolumeSource],
    advance: Callable[[int], None],
    tell: Callable[[str, int, float], None] = tell_read,
) -> None:
    for row in rows:
        if row["error"]:
            raise rebuilt(row["kind"], row["error"])
        tell(sources[int(row["source"])].uri, int(row["bytes"]), float(row["seconds"]))
        advance(int(row["bytes"]))


@ray.remote(num_cpus=1, max_retries=3)
def _cut(
    store: CutoutStore, identity: str, task: TaskSettings, block: Block, portions: list[Chunk]
) -> Iterator[Tissue]:
    """Tell the candidates of a block apart, and hand out the tissue of each portion as soon as it is cut."""
    tissue = read_tissue(store, identity, task, block)
    for chunk in portions:
        yield tissue.cut(block.roi, chunk.rois)


@ray.remote(num_cpus=1, max_retries=3)
def _measure(images: Tissue) -> Attributes:
    return measure(images)


def measure_attributes(
    store: CutoutStore, identity: str, task: TaskSettings, *, beside_trials: bool = False
) -> dict[Split, Attributes]:
    """Attributes of every corner of every image of a readout task, as `data.semantics.load_attributes` gives them.

    They are measured on Ray: a task per piece of tissue, then one per chunk of images.

    Args:
        store: Cutouts.
        identity: Identity of the annotation.
        task: A readout.
        beside_trials: Whether trials may hold all CPUs; then no CPU is asked for, and fewer tasks run at once.

    Raises:
        StoreError: voxels are missing or damaged.
        InputError: the annotation holds a label that is no class.
    """
    portions = {block: chunks(task, block) for block in blocks(task)}
    needs: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": "SPREAD"} if beside_trials else {}
    at_once = num_cpus() if beside_trials else sum(map(len, portions.values()))
    cut, measured_by = _cut.options(**needs), _measure.options(**needs)
    # Generators of references, which Ray does not type; all begin before the first is waited for, where there is room.
    begun = (cut.remote(store, identity, task, block, own) for block, own in portions.items())
    cuts: Iterable[Any] = begun if beside_trials else list(begun)
    measured: list[Any] = []
    for each in cuts:
        for images in each:
            if len(measured) >= at_once:
                ray.wait([measured[-at_once]], fetch_local=False)
            measured.append(measured_by.remote(images))
    in_order = [chunk for own in portions.values() for chunk in own]
    return by_split(task, zip(in_order, results(measured), strict=True))


# No CPU of its own: it must run while trials hold all of them, when a lost node's splits are built again. The classes
# that it lacks are a result of their own, so that the driver can wait for them, and hear of errors, without the images.
@ray.remote(num_cpus=0, max_retries=3, num_returns=2)
def _load(
    store: CutoutStore,
    identities: Identities,
    task: TaskSettings,
    split: Split,
    targets: dict[Split, Attributes],
) -> tuple[SplitData, list[str]]:
    arrays = load_whole(store, identities, task, split, targets)
    return arrays, arrays.absent(task.classes)


def share_task(store: CutoutStore, task: TaskSettings, task_file: Path, budget: int | None = None) -> SplitRefs:
    """Ingest what the store lacks of a task on Ray, and share its splits.

    Args:
        store: Cutouts.
        task: The task.
        task_file: File of the task, for errors and relative paths.
        budget: See `share_splits`.

    Raises:
        InputError: the data do not fit the settings.
        SourceError: a volume can't be read.
        StoreError: voxels are missing or damaged.
    """
    return share_splits(store, task, ingest(store, task, task_file, fetch_all), budget)


def share_splits(
    store: CutoutStore, task: TaskSettings, volumes: Volumes, budget: int | None = None, *, beside_trials: bool = False
) -> SplitRefs:
    """Make each split of a task one object that all workers of a node map.

    The object of a split that takes more memory than the budget says where its voxels are, and workers stream them.

    Args:
        store: Cutouts, with all that the task reads.
        task: The task.
        volumes: Volumes of the task.
        budget: Bytes of a split in memory; by default a third of the smallest object store of a node.
        beside_trials: Whether trials may hold all CPUs; then none is asked for.

    Raises:
        InputError: the annotation holds a label that is no class.
        StoreError: voxels are missing or damaged.
    """
    identities = volumes.identities
    targets: dict[Split, Attributes] = {}
    if task.declaration.labels == "corner":
        # Small, and kept by the driver: a split that is built again, while trials hold all CPUs, needs no such task.
        targets = measure_attributes(store, str(identities.annotation), task, beside_trials=beside_trials)
    splits = dict.fromkeys(cube.split for cube in task.cubes)
    # Two references each, which Ray types as one.
    loads: dict[Split, Any] = {}
    most = node_budget() if budget is None else budget
    for split in splits:
        if exceeds(store, identities, task, split, most):
            loads[split] = describe_split(store, identities, task, split, targets.get(split), most, num_cpus())
        else:
            loads[split] = _load.remote(store, identities, task, split, targets)
    absent = results([names for _, names in loads.values()], unread=[arrays for arrays, _ in loads.values()])
    log_absent(task, dict(zip(loads, absent, strict=True)))
    return {split: arrays for split, (arrays, _) in loads.items()}


def get_splits(refs: SplitRefs) -> dict[Split, SplitData]:
    """The splits, as read-only views of this node's shared memory; those that are not in it are streamed."""
    return dict(zip(refs, map(streaming, ray.get(list(refs.values()))), strict=True))
