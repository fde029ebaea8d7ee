"""Whole-volume inference on Ray Data: rows of blocks go through actors that have loaded the models once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import ray.data

from mtneuro_ray.cluster.streaming import quiet_context
from mtneuro_ray.engine.volume_job import VolumeJob
from mtneuro_ray.engine.whole_volume import BlockWorker, reduce_block
from mtneuro_ray.errors import MTNeuroError, rebuilt
from mtneuro_ray.roi import Roi

# Blocks of a row of the dataset: so many follow each other in one actor, which keeps what their windows share.
_MOST_BLOCKS = 4


@dataclass(frozen=True)
class OnRay:
    """Works on blocks in processes of a cluster; an `engine.whole_volume.Execute`.

    Attributes:
        workers: Number of processes; 0 for as many as the cluster has room for.
        threads: CPU threads of each.
        gpu: Whether each has a GPU.
    """

    workers: int
    threads: int
    gpu: bool

    @property
    def needs(self) -> dict[str, float]:
        """CPU and GPU of the least that can work."""
        return {"CPU": float(self.threads), "GPU": float(self.gpu)}

    def __call__(self, job: VolumeJob, number: int, blocks: list[Roi]) -> Iterator[Roi]:
        """Work on blocks of a level; hands out each when its row is done.

        Raises:
            MTNeuroError: of the first row that fails.
        """
        quiet_context()
        workers = self.workers or self._room()
        rows = job.plan.rows(blocks, _most(len(blocks), workers))
        items = [{"blocks": " ".join(map(str, row))} for row in rows]
        worker: Any = _Predicting if number == 0 else _Reducing
        needs: dict[str, Any] = {"num_cpus": self.threads}
        if self.gpu and number == 0:
            needs["num_gpus"] = 1
        dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            worker,
            batch_size=1,
            fn_constructor_args=(job, number),
            concurrency=min(workers, len(rows)),
            **needs,
        )
        for row in dataset.iter_rows():
            if row["error"]:
                raise rebuilt(row["kind"], row["error"])
            yield from map(Roi.parse, row["blocks"].split())

    def _room(self) -> int:
        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return max(1, int(min(found.get(kind, 0) / each for kind, each in self.needs.items() if each)))


def _most(blocks: int, workers: int) -> int:
    """Blocks of a row: few enough that no worker waits long for the last."""
    return max(1, min(_MOST_BLOCKS, blocks // (2 * workers)))


class _Worker:
    """An actor that works on rows of blocks; an error is a value too, so that it reaches the driver in one line."""

    def __init__(self, job: VolumeJob, number: int) -> None:
        self._job, self._number = job, number
        self._predictor: BlockWorker | None = None

    def _work(self, blocks: list[Roi]) -> None:
        raise NotImplementedError

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        [row] = batch["blocks"]
        problem = kind = ""
        try:
            self._work([Roi.parse(block) for block in row.split()])
        except MTNeuroError as error:
            problem, kind = str(error), type(error).__name__
        return {"blocks": np.array([row]), "error": np.array([problem]), "kind": np.array([kind])}


class _Predicting(_Worker):
    def _work(self, blocks: list[Roi]) -> None:
        if self._predictor is None:
            self._predictor = BlockWorker(self._job)
        for _ in self._predictor.run(blocks):
            pass


class _Reducing(_Worker):
    def _work(self, blocks: list[Roi]) -> None:
        for block in blocks:
            reduce_block(self._job.target, self._number, block)


def on_ray(job: VolumeJob, workers: int) -> OnRay:
    """Processes, each with the CPU threads (or the GPU) that the job says; `workers` 0 for as many as there is room."""
    return OnRay(workers, 1 if job.options.gpu else job.threads, job.options.gpu)
