"""Semantic attributes of a readout task, measured on Ray: a task per piece of tissue, then one per chunk of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import ray

from mtneuro_ray.cluster.ray_tasks import num_cpus, results
from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.sampling import Block, blocks
from mtneuro_ray.data.semantics import Attributes, Chunk, Tissue, by_split, chunks, measure, read_tissue
from mtneuro_ray.data.store import CutoutStore


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
    """Attributes of every corner of every image of a task, as `data.semantics.load_attributes` gives them.

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
    values = results(measured)
    in_order = [chunk for own in portions.values() for chunk in own]
    return by_split(task, zip(in_order, values, strict=True))
