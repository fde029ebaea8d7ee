"""`mtneuro-ray report`."""

from __future__ import annotations

from mtneuro_ray.cli.figures import pictures
from mtneuro_ray.cli.options import Out, Store, store_of
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.progress import working


def run(out: Out = "out", store: Store = None) -> int:
    """Write OUT/report.html from existing files: no voxel is read from a volume, and nothing is predicted."""
    results, folder = load_runs(out)
    cutouts = store_of(store, out)

    from mtneuro_ray.results.figures.gallery import shown_runs, stored_scenes
    from mtneuro_ray.results.report import html_page

    def load(run: RunSettings, split: Split) -> SplitArrays:
        return load_split(cutouts, run.data[0], run.data[1], run.task, split)

    notes: list[str] = []
    try:
        scenes = stored_scenes(shown_runs(results.records, folder), folder, load)
    except MTNeuroError as error:
        # Tables and curves need no predictions.
        scenes = []
        notes.append(f"Pictures of predictions are left out: {error}")
    shown = pictures(results.records, scenes, folder, cutouts, notes, makes_missing=False)
    with working("drawing the report"):
        page = html_page(results, f"MTNeuro on Ray: {folder}", shown, notes)
    folder.write("report.html", page.encode())
    print(folder / "report.html")
    return 0
