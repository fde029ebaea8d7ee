"""`mtneuro-ray figures` and `mtneuro-ray report`: the pictures of an output folder as files, or on one page."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mtneuro_ray.cli.options import Model, OnlyTask, Out, Store, store_of
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data.identities import Identities, by_role
from mtneuro_ray.data.predictions import exist, place_of
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.progress import say, working
from mtneuro_ray.results.selection import widest
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord

if TYPE_CHECKING:
    from mtneuro_ray.results.figures.picture import Picture
    from mtneuro_ray.results.figures.scenes import Scene


def run_figures(
    model: Model = None,
    task: OnlyTask = None,
    region: Annotated[list[str], typer.Option(help="only this region; may be given several times; default: all")] = [],
    format: Annotated[Literal["png", "svg", "pdf"], typer.Option()] = "png",
    out: Out = "out",
    store: Store = None,
) -> int:
    """Draw all pictures of an output folder, and make the predictions, projections and views that they lack."""
    results, folder = load_runs(out)
    records = results.where(model, task).records
    cutouts = store_of(store, out)

    from mtneuro_ray.results.figures.gallery import run_pictures, shown_runs
    from mtneuro_ray.results.figures.picture import distinct
    from mtneuro_ray.results.figures.scenes import of_regions

    problems: list[str] = []
    scenes = of_regions(_scenes(shown_runs(records, folder), folder, cutouts, problems), region)
    drawn = 0
    pictures = _pictures(records, scenes, folder, cutouts, problems, makes_missing=True)
    for picture in distinct(chain(pictures, run_pictures(records))):
        folder.write(f"figures/{picture.name}.{format}", picture.encode(format))
        print(folder / f"figures/{picture.name}.{format}")
        drawn += 1
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not drawn and not problems:
        raise InputError(f"{out}: holds nothing that could be drawn; accepted: finished runs")
    return 1 if problems else 0


def run_report(out: Out = "out", store: Store = None) -> int:
    """Write OUT/report.html from existing files: no voxel is read from a volume, and nothing is predicted."""
    results, folder = load_runs(out)
    cutouts = store_of(store, out)

    from mtneuro_ray.results.figures.gallery import shown_runs, stored_scenes
    from mtneuro_ray.results.report import html_page

    def load(run: RunSettings, split: Split) -> SplitArrays:
        return load_split(cutouts, by_role(run.task, run.data), run.task, split)

    notes: list[str] = []
    scenes: list[Scene] = []
    # Tables and curves need no predictions.
    with _noted(notes, "Pictures of predictions are left out: "):
        scenes = stored_scenes(shown_runs(results.records, folder), folder, load)
    shown = _pictures(results.records, scenes, folder, cutouts, notes, makes_missing=False)
    with working("drawing the report"):
        page = html_page(results, f"MTNeuro on Ray: {folder}", shown, notes)
    folder.write("report.html", page.encode())
    print(folder / "report.html")
    return 0


@contextmanager
def _noted(problems: list[str], prefix: str = "") -> Iterator[None]:
    """Add an error of the body to `problems`, and go on."""
    try:
        yield
    except MTNeuroError as error:
        problems.append(f"{prefix}{error}")


def _scenes(records: Sequence[RunRecord], out: Folder, store: CutoutStore, problems: list[str]) -> list[Scene]:
    """Scenes of the predictions of runs; missing predictions are made first."""
    if not records:
        return []

    from mtneuro_ray.engine.finished import stored_split
    from mtneuro_ray.engine.predict import predict_run
    from mtneuro_ray.results.figures.gallery import stored_scenes

    for record in records:
        if exist(place_of(out, record.run_id)):
            continue
        with _noted(problems):
            with working(f"predicting test with {record.summary['model']} on {record.summary['task']}"):
                written = predict_run(record, out, store)
            if not written.agrees:
                problems.append(f"{written.place}: {written.verdict}")
    with _noted(problems):
        return stored_scenes(records, out, partial(stored_split, store))
    return []


def _pictures(
    records: Sequence[RunRecord],
    scenes: Sequence[Scene],
    out: Folder,
    store: CutoutStore,
    problems: list[str],
    *,
    makes_missing: bool,
) -> Iterator[Picture]:
    """Pictures of an output folder that a page shows as they are: predictions, encoders, mined views, slices.

    Missing projections of embeddings and mined views are made with `makes_missing`, else left out. One line is added
    to `problems` for each picture that fails and is left out.
    """
    from mtneuro_ray.results.figures import gallery
    from mtneuro_ray.results.figures.embeddings import is_projected, projection_of

    yield from gallery.prediction_pictures(scenes)
    yield from gallery.table_pictures(records)

    projections = []
    for record in gallery.read_out_runs(records):
        if makes_missing or is_projected(out, record.run_id):
            with _noted(problems):
                projections.append((record, projection_of(out, record.run_id, say)))
    yield from gallery.embedding_pictures(projections)

    for record in gallery.mining_runs(records, out):
        with _noted(problems):
            if makes_missing and not views.exist(out, record.run_id):
                from mtneuro_ray.engine.mine_views import write_views

                write_views(record, out, store)
            if views.exist(out, record.run_id):
                yield gallery.view_picture(record, views.read(out, record.run_id))

    def load_images(run: RunSettings, split: Split) -> SplitArrays:
        # Without the targets of a readout, which would take long to measure.
        task = run.task.model_copy(update={"task": "classification"})
        return load_split(store, Identities(by_role(run.task, run.data).images), task, split)

    # Correlation of slices, only for images in the store: no voxel is read for it.
    for record in widest(records):
        stacks = []
        with suppress(MTNeuroError):
            stacks = gallery.stored_stacks(record, load_images)
        if stacks:
            yield gallery.correlation_picture(record, stacks)
