"""`mtneuro-ray sweep`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mtneuro_ray.cli import plan as planning
from mtneuro_ray.cli.ingest import out_of, store_of
from mtneuro_ray.cli.options import Address, NumCpus, Out, Overrides, Packing, Preset, Space, Store, Volume
from mtneuro_ray.config.loading import load_sweep
from mtneuro_ray.results import Results
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
    """Run what is missing of a sweep and print its tables."""
    settings, entries = load_sweep(space, volume=volume, preset=preset, overrides=overrides)
    planning.check_entries(entries)
    resources = planning.packed(settings.run, packing)
    if dry_run:
        print(planning.as_text(planning.plan_space(settings, entries)))
        return 0

    from mtneuro_ray.cluster.sweep import Where, sweep

    folder = out_of(out)
    problems = sweep(entries, resources, Where(store_of(store, out), folder, address, num_cpus))
    results = Results(folder)
    best = [
        row
        for experiment, pair in entries
        for row in results.best(pair.network.table_name, pair.task.name, metric=experiment.metric, mode=experiment.mode)
    ]
    selected = [rows_as_table("Best candidates", best, best_columns(best))] if best else []
    show([*selected, *results.table()])
    print(f"\nrun files: {folder / 'runs'}")
    for problem in problems:
        print(f"failed: {problem}", file=sys.stderr)
    return 1 if problems else 0
