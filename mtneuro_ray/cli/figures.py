"""`mtneuro-ray figures`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mtneuro_ray.cli.encoder_pictures import encoder_pictures
from mtneuro_ray.cli.ingest import store_of
from mtneuro_ray.cli.options import Model, OnlyTask, Out, Store
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.data.predictions import exist, place_of
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.progress import working
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord

if TYPE_CHECKING:
    from mtneuro_ray.results.figures.scenes import Scene


def run(
    model: Model = None,
    task: OnlyTask = None,
    region: Annotated[list[str], typer.Option(help="only this region; may be given several times; default: all")] = [],
    format: Annotated[Literal["png", "svg", "pdf"], typer.Option()] = "png",
    out: Out = "out",
    store: Store = None,
) -> int:
    """Draw everything that the runs of an output folder allow."""
    results, folder = load_runs(out)
    records = results.where(model, task).records
    cutouts = store_of(store, out)

    from mtneuro_ray.results.figures.gallery import prediction_pictures, run_pictures, shown_runs
    from mtneuro_ray.results.figures.picture import distinct
    from mtneuro_ray.results.figures.scenes import of_regions

    problems: list[str] = []
    scenes = of_regions(_scenes(shown_runs(records, folder), folder, cutouts, problems), region)
    pictures = chain(
        prediction_pictures(scenes),
        encoder_pictures(records, folder, cutouts, problems, makes_missing=True),
        run_pictures(records),
    )
    drawn = 0
    for picture in distinct(pictures):
        folder.write(f"figures/{picture.name}.{format}", picture.encode(format))
        print(folder / f"figures/{picture.name}.{format}")
        drawn += 1
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not drawn and not problems:
        raise InputError(f"{out}: holds nothing that could be drawn; accepted: finished runs")
    return 1 if problems else 0


def _scenes(records: Sequence[RunRecord], out: Folder, store: CutoutStore, problems: list[str]) -> list[Scene]:
    """What runs predict, predicted now where it was not yet. What fails is added to `problems` and left out."""
    if not records:
        return []

    from mtneuro_ray.engine.finished import stored_split
    from mtneuro_ray.engine.predict import predict_run
    from mtneuro_ray.results.figures.gallery import stored_scenes

    for record in records:
        if exist(place_of(out, record.run_id)):
            continue
        try:
            with working(f"predicting test with {record.summary['model']} on {record.summary['task']}"):
                written = predict_run(record, out, store)
        except MTNeuroError as error:
            problems.append(str(error))
            continue
        if not written.agrees:
            problems.append(f"{written.place}: {written.verdict}")
    try:
        return stored_scenes(records, out, partial(stored_split, store))
    except MTNeuroError as error:
        problems.append(str(error))
        return []
