"""`mtneuro-ray sweep`."""

from __future__ import annotations

import argparse
import sys

from mtneuro_ray.cli import plan as planning
from mtneuro_ray.cli.ingest import out_of, store_of
from mtneuro_ray.config.loading import load_sweep
from mtneuro_ray.results import load
from mtneuro_ray.results.query import BEST_COLUMNS
from mtneuro_ray.results.render import markdown, rows_as_table


def run(options: argparse.Namespace) -> int:
    """Run what is missing of a sweep and print its tables."""
    space, entries = load_sweep(
        options.space, volume=options.volume, preset=options.preset, overrides=options.overrides
    )
    planning.check_entries(entries)
    resources = planning.packed(space.run, options.packing)
    if options.dry_run:
        print(planning.as_text(planning.plan_space(options)))
        return 0

    from mtneuro_ray.cluster.sweep import Where, sweep

    out = out_of(options)
    problems = sweep(entries, resources, Where(store_of(options), out, options.address, options.num_cpus))
    results = load(out)
    best = [
        row
        for experiment, pair in entries
        for row in results.best(pair.network.table_name, pair.task.name, metric=experiment.metric, mode=experiment.mode)
    ]
    print(markdown([rows_as_table("Best candidates", best, BEST_COLUMNS), *results.table()]))
    print(f"\nrun files: {out / 'runs'}")
    for problem in problems:
        print(f"failed: {problem}", file=sys.stderr)
    return 1 if problems else 0
