"""`mtneuro-ray sweep`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mtneuro_ray.api.training import SweepJob
from mtneuro_ray.cli import plan as planning
from mtneuro_ray.cli.options import (
    Address,
    NumCpus,
    Out,
    Overrides,
    Packing,
    Preset,
    Space,
    Store,
    Volume,
    out_of,
    store_of,
)
from mtneuro_ray.results.query import best_columns
from mtneuro_ray.results.render import rows_as_table, show


def run(
    space: Space,
    volume: Volume = None,
    preset: Preset = None,
    overrides: Overrides = [],
    packing: Packing = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the plan and stop")] = False,
    out: Out = "out",
    store: Store = None,
    address: Address = None,
    num_cpus: NumCpus = None,
) -> int:
    """Run the missing runs of a sweep and print its tables."""
    out_of(out)
    job = SweepJob(
        space,
        volume=volume,
        preset=preset,
        overrides=overrides,
        packing=packing,
        out=out,
        store=store_of(store, out).folder,
        address=address,
        num_cpus=num_cpus,
    )
    planning.check_entries(job.entries)
    if dry_run:
        print(planning.as_text(planning.plan_space(job.settings, job.entries)))
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
