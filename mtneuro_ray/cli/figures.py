"""`mtneuro-ray figures` and `mtneuro-ray report`: the pictures of an output folder as files, or on one page."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mtneuro_ray.cli.options import Model, OnlyTask, Out, Store, positive, store_of
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data.predictions import exist, place_of
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError, noted
from mtneuro_ray.progress import say, working
from mtneuro_ray.results.selection import seeds_of
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord, uncollected

if TYPE_CHECKING:
    from mtneuro_ray.results.charts.scenes import Scene
    from mtneuro_ray.results.figures.picture import Picture


def run_figures(
    model: Model = None,
    task: OnlyTask = None,
    region: Annotated[list[str], typer.Option(help="only this region; may be given several times; default: all")] = [],
    seeds: Annotated[
        bool, typer.Option("--seeds", help="predict with all seeds of each run, and show where they disagree")
    ] = False,
    format: Annotated[Literal["png", "svg", "pdf"], typer.Option()] = "png",
    out: Out = "out",
    store: Store = None,
) -> int:
    """Draw all pictures of an output folder, and make the predictions, projections and views that they lack."""
    results, folder = load_runs(out)
    records = results.where(model, task).records
    cutouts = store_of(store, out)

    from mtneuro_ray.results.charts.scenes import of_regions
    from mtneuro_ray.results.figures.gallery import shown_runs
    from mtneuro_ray.results.figures.picture import distinct

    problems: list[str] = []
    shown = shown_runs(records, folder)
    if seeds:
        shown = list({seed.run_id: seed for record in shown for seed in seeds_of(record, records)}.values())
    _predict(shown, folder, cutouts, problems)
    scenes = of_regions(_scenes(records, folder, cutouts, problems), region)
    drawn = 0
    for picture in distinct(_pictures(records, scenes, folder, cutouts, problems)):
        folder.write(f"figures/{picture.name}.{format}", picture.encode(format))
        print(folder / f"figures/{picture.name}.{format}")
        drawn += 1
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not drawn and not problems:
        raise InputError(f"{out}: holds nothing that could be drawn; accepted: finished runs")
    return 1 if problems else 0


def run_report(
    price_per_node_hour: Annotated[
        float | None,
        typer.Option(
            metavar="P", callback=positive, help="show what the hosts cost, for the hours in which they had a run"
        ),
    ] = None,
    out: Out = "out",
    store: Store = None,
) -> int:
    """Write OUT/report.html from existing files: no voxel is read from a volume, and nothing is predicted."""
    results, folder = load_runs(out, keeps_records=True)
    cutouts = store_of(store, out)

    from mtneuro_ray.results.page.stored_results import StoredResults
    from mtneuro_ray.results.report import html_page

    with working("writing the report"), uncollected():
        page = html_page(results, f"MTNeuro on Ray: {folder}", StoredResults(folder, cutouts), price_per_node_hour)
    folder.write("report.html", page.encode())
    print(folder / "report.html")
    return 0


def _predict(records: Sequence[RunRecord], out: Folder, store: CutoutStore, problems: list[str]) -> None:
    """Make the predictions that runs lack."""
    missing = [record for record in records if not exist(place_of(out, record.run_id))]
    if not missing:
        return

    from mtneuro_ray.engine.predict import predict_run

    for record in missing:
        with noted(problems):
            with working(f"predicting test with {record.summary['model']} on {record.summary['task']}"):
                written = predict_run(record, out, store)
            if not written.agrees:
                problems.append(f"{written.place}: {written.verdict}")


def _scenes(records: Sequence[RunRecord], out: Folder, store: CutoutStore, problems: list[str]) -> list[Scene]:
    """Scenes of the predictions that are there; their voxels are read where the store lacks them."""
    from mtneuro_ray.results.figures.gallery import shown_runs, stored_scenes

    shown = shown_runs(records, out)
    if not shown:
        return []

    from mtneuro_ray.engine.finished import stored_split

    with noted(problems):
        return stored_scenes(shown, out, partial(stored_split, store), records)
    return []


def _pictures(
    records: Sequence[RunRecord], scenes: Sequence[Scene], out: Folder, store: CutoutStore, problems: list[str]
) -> Iterator[Picture]:
    """All pictures of an output folder: predictions, encoders, mined views, slices, and those of run files.

    Missing projections of embeddings and mined views are made. One line is added to `problems` for each picture that
    fails and is left out.
    """
    from mtneuro_ray.results.charts.importance import Studies
    from mtneuro_ray.results.charts.projection import projection_of
    from mtneuro_ray.results.figures import gallery
    from mtneuro_ray.results.page.stored_results import StoredResults

    yield from gallery.slice_pictures(scenes)
    yield from gallery.volume_pictures(scenes)
    yield from gallery.table_pictures(records)

    projections = []
    for record in gallery.read_out_runs(records):
        with noted(problems):
            projections.append((record, projection_of(out, record.run_id, say)))
    yield from gallery.embedding_pictures(projections)

    for record in gallery.mining_runs(records, out):
        with noted(problems):
            if not views.exist(out, record.run_id):
                from mtneuro_ray.engine.mine_views import write_views

                write_views(record, out, store)
            yield gallery.view_picture(record, views.read(out, record.run_id))
    yield from gallery.correlation_pictures(records, StoredResults(out, store).load_images)
    yield from gallery.run_pictures(records, Studies(out))
