"""`mtneuro-ray report`."""

from __future__ import annotations

from itertools import chain

from mtneuro_ray.cli.encoder_pictures import encoder_pictures
from mtneuro_ray.cli.ingest import store_of
from mtneuro_ray.cli.options import Out, Store
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.progress import working


def run(out: Out = "out", store: Store = None) -> int:
    """Write OUT/report.html. It is made of what is there: nothing is read from a volume or predicted for it."""
    results, folder = load_runs(out)
    cutouts = store_of(store, out)

    from mtneuro_ray.results.figures.gallery import prediction_pictures, run_pictures, shown_runs, stored_scenes
    from mtneuro_ray.results.report import html_page

    def load(run: RunSettings, split: Split) -> SplitArrays:
        return load_split(cutouts, run.data[0], run.data[1], run.task, split)

    notes: list[str] = []
    try:
        scenes = stored_scenes(shown_runs(results.records, folder), folder, load)
    except MTNeuroError as error:
        # Tables and curves need none of it.
        scenes = []
        notes.append(f"Pictures of predictions are left out: {error}")
    pictures = chain(
        prediction_pictures(scenes),
        encoder_pictures(results.records, folder, cutouts, notes, makes_missing=False),
        run_pictures(results.records),
    )
    with working("drawing the report"):
        page = html_page(results, f"MTNeuro on Ray: {folder}", pictures, notes)
    folder.write("report.html", page.encode())
    print(folder / "report.html")
    return 0
