"""Ingest and training in this process, without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.ingest import Cutout, fetch
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.execute import execute
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.checkpoints import checkpoint_folder
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord


def fetch_all(store: CutoutStore, cutouts: list[Cutout], advance: Callable[[int], None]) -> None:
    """Fetch cutouts one by one; `advance` is called with the bytes of each."""
    for cutout in cutouts:
        advance(fetch(store, cutout))


def check_gpu(where: str) -> None:
    """Check that this machine can train on a GPU.

    Raises:
        InputError: torch finds no GPU.
    """
    if not torch.cuda.is_available():
        raise InputError(f"{where}: torch finds no GPU on this machine; accepted: leave it out")


def train_here(
    run: RunSettings,
    data: Mapping[Split, SplitArrays],
    out: Folder,
    *,
    encoder: Mapping[str, torch.Tensor] | None = None,
    gpu: bool = False,
    threads: int = 1,
    report: Callable[[Mapping[str, Any]], None] = lambda entry: None,
) -> RunRecord:
    """Train one run in this process."""
    context = WorkerContext(
        device=torch.device("cuda" if gpu else "cpu"),
        threads=threads,
        checkpoints=checkpoint_folder(out, run),
        report=report,
    )
    return execute(run, data, context, out, encoder)
