"""`mtneuro-ray train` and `mtneuro-ray sweep`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

from typer import Option

from mtneuro_ray.api import training
from mtneuro_ray.cli import options, plan
from mtneuro_ray.cli.options import (
    Address,
    MemoryBudget,
    NumCpus,
    Out,
    Overrides,
    Packing,
    Preset,
    Space,
    Store,
    Task,
    Volume,
)
from mtneuro_ray.progress import say
from mtneuro_ray.results.printing import rows_as_table, show
from mtneuro_ray.results.query import best_columns
from mtneuro_ray.results.report import run_report


def run_train(
    task: Task,
    network: options.Network,
    seed: Annotated[int | None, Option(help="default: the network's")] = None,
    volume: Volume = None,
    preset: Preset = None,
    overrides: Overrides = [],
    workers: Annotated[
        int,
        Option(metavar="N", min=0, max=1024, help="Ray Train workers; 0 trains in this process"),
    ] = 1,
    threads: Annotated[int, Option(metavar="N", min=1, max=4096, help="CPU threads of a worker")] = 1,
    gpu: Annotated[bool, Option("--gpu", help="one GPU for each worker")] = False,
    out: Out = "out",
    store: Store = None,
    memory_budget: MemoryBudget = None,
    address: Address = None,
    num_cpus: NumCpus = None,
) -> int:
    """Train one run, unless it is done already, and print its metrics."""
    seeded = [] if seed is None else [f"seed={seed}"]
    folder = options.out_of(out)
    record = training.train(
        task,
        network,
        volume=volume,
        preset=preset,
        overrides=[*overrides, *seeded],
        out=folder,
        store=options.store_of(store, out).folder,
        workers=workers,
        threads=threads,
        gpu=gpu,
        memory_budget=memory_budget,
        address=address,
        num_cpus=num_cpus,
        report=_Epochs(),
    )
    print(run_report(record))
    print(f"\nrun file: {folder / f'runs/{record.run_id}.json'}")
    return 0 if record.status == "done" else 1


class _Epochs:
    """Prints metrics and duration of each epoch; that of the first is told with what comes before it."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._with = " with the start"

    def __call__(self, entry: Mapping[str, Any]) -> None:
        now = time.monotonic()
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in entry.items() if name != "epoch")
        say(f"epoch {entry['epoch']}: {numbers}  ({now - self._last:.1f} s{self._with})")
        self._last, self._with = now, ""


def run_sweep(
    space: Space,
    volume: Volume = None,
    preset: Preset = None,
    overrides: Overrides = [],
    packing: Packing = None,
    memory_budget: MemoryBudget = None,
    dry_run: Annotated[bool, Option("--dry-run", help="print the plan and stop")] = False,
    out: Out = "out",
    store: Store = None,
    address: Address = None,
    num_cpus: NumCpus = None,
) -> int:
    """Run the missing runs of a sweep and print its tables."""
    options.out_of(out)
    job = training.SweepJob(
        space,
        volume=volume,
        preset=preset,
        overrides=overrides,
        packing=packing,
        memory_budget=memory_budget,
        out=out,
        store=options.store_of(store, out).folder,
        address=address,
        num_cpus=num_cpus,
    )
    # Planning checks batches and known bounds before anything starts.
    planned = plan.plan_space(job.settings, job.entries, job.resources.budget_bytes)
    if dry_run:
        print(plan.as_text(planned))
        return 0
    results = job.run()
    best = [
        row
        for experiment, pair in job.entries
        for row in results.best(pair.network.table_name, pair.task.name, metric=experiment.metric, mode=experiment.mode)
    ]
    selected = [rows_as_table("Best candidates", best, best_columns(best))] if best else []
    show([*selected, *results.table()])
    print(f"\nrun files: {job.out / 'runs'}")
    for problem in job.problems:
        print(f"failed: {problem}", file=sys.stderr)
    return 1 if job.problems else 0
