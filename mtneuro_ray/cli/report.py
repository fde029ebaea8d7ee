"""`mtneuro-ray report`."""

from __future__ import annotations

import argparse
from itertools import chain

from mtneuro_ray.cli.encoder_pictures import encoder_pictures
from mtneuro_ray.cli.ingest import store_of
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.errors import MTNeuroError


def run(options: argparse.Namespace) -> int:
    """Write OUT/report.html. It is made of what is there: nothing is read from a volume or predicted for it."""
    results, out = load_runs(options)
    store = store_of(options)

    from mtneuro_ray.results.figures.gallery import prediction_pictures, run_pictures, shown_runs, stored_scenes
    from mtneuro_ray.results.report import html_page

    def load(run: RunSettings, split: Split) -> SplitArrays:
        return load_split(store, run.data[0], run.data[1], run.task, split)

    notes: list[str] = []
    try:
        scenes = stored_scenes(shown_runs(results.records, out), out, load)
    except MTNeuroError as error:
        # Tables and curves need none of it.
        scenes = []
        notes.append(f"Pictures of predictions are left out: {error}")
    pictures = chain(
        prediction_pictures(scenes),
        encoder_pictures(results.records, out, store, notes, makes_missing=False),
        run_pictures(results.records),
    )
    out.write("report.html", html_page(results, f"MTNeuro on Ray: {out}", pictures, notes).encode())
    print(out / "report.html")
    return 0
