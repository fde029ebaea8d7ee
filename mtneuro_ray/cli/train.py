"""`mtneuro-ray train`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mtneuro_ray.api.training import train
from mtneuro_ray.cli.options import (
    Address,
    Network,
    NumCpus,
    Out,
    Overrides,
    Preset,
    Store,
    Task,
    Volume,
    out_of,
    store_of,
)
from mtneuro_ray.progress import say
from mtneuro_ray.results.report import run_report


def run(
    task: Task,
    network: Network,
    seed: Annotated[int | None, typer.Option(help="default: the network's")] = None,
    volume: Volume = None,
    preset: Preset = None,
    overrides: Overrides = [],
    workers: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=1024, help="Ray Train workers; 0 trains in this process"),
    ] = 1,
    threads: Annotated[int, typer.Option(metavar="N", min=1, max=4096, help="CPU threads of a worker")] = 1,
    gpu: Annotated[bool, typer.Option("--gpu", help="one GPU for each worker")] = False,
    out: Out = "out",
    store: Store = None,
    address: Address = None,
    num_cpus: NumCpus = None,
) -> int:
    """Train one run, unless it is done already, and print its metrics."""
    seeded = [] if seed is None else [f"seed={seed}"]
    folder = out_of(out)
    record = train(
        task,
        network,
        volume=volume,
        preset=preset,
        overrides=[*overrides, *seeded],
        out=folder,
        store=store_of(store, out).folder,
        workers=workers,
        threads=threads,
        gpu=gpu,
        address=address,
        num_cpus=num_cpus,
        report=_Epochs(),
    )
    print(run_report(record))
    print(f"\nrun file: {folder / f'runs/{record.run_id}.json'}")
    return 0 if record.status == "done" else 1


class _Epochs:
    """Prints metrics and duration of each epoch; the first includes the start of the training."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, entry: Mapping[str, Any]) -> None:
        now = time.monotonic()
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in entry.items() if name != "epoch")
        say(f"epoch {entry['epoch']}: {numbers}  ({now - self._last:.1f} s)")
        self._last = now
