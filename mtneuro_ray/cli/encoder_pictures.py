"""Pictures of the encoders of an output folder, for `figures`, which makes what is missing, and for `report`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.results.selection import widest
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord

if TYPE_CHECKING:
    from mtneuro_ray.results.figures.picture import Picture


def encoder_pictures(
    records: Sequence[RunRecord], out: Folder, store: CutoutStore, problems: list[str], *, makes_missing: bool
) -> Iterator[Picture]:
    """Tables of encoders as points, embeddings, mined views, and the correlation of slices.

    Args:
        records: Runs of any kind.
        out: Output folder that holds what the runs left.
        store: Holds voxels, or takes them.
        problems: What fails is added here, a line each, and left out.
        makes_missing: Whether embeddings are projected and views mined where they were not yet.
    """
    from mtneuro_ray.results.figures.gallery import table_pictures

    yield from table_pictures(records)
    yield from _embedding_pictures(records, out, problems, makes_missing)
    yield from _view_pictures(records, out, store, problems, makes_missing)
    yield from _correlation_pictures(records, store)


def _embedding_pictures(
    records: Sequence[RunRecord], out: Folder, problems: list[str], makes_missing: bool
) -> Iterator[Picture]:
    from mtneuro_ray.progress import say
    from mtneuro_ray.results.figures.embeddings import is_projected, projection_of
    from mtneuro_ray.results.figures.gallery import embedding_pictures, read_out_runs

    projections = []
    for record in read_out_runs(records):
        if not makes_missing and not is_projected(out, record.run_id):
            continue
        try:
            projections.append((record, projection_of(out, record.run_id, say)))
        except MTNeuroError as error:
            problems.append(str(error))
    yield from embedding_pictures(projections)


def _view_pictures(
    records: Sequence[RunRecord], out: Folder, store: CutoutStore, problems: list[str], makes_missing: bool
) -> Iterator[Picture]:
    from mtneuro_ray.results.figures.gallery import mining_runs, view_picture

    for record in mining_runs(records, out):
        try:
            if not views.exist(out, record.run_id):
                if not makes_missing:
                    continue

                from mtneuro_ray.engine.mine_views import write_views

                write_views(record, out, store)
            yield view_picture(record, views.read(out, record.run_id))
        except MTNeuroError as error:
            problems.append(str(error))


def _correlation_pictures(records: Sequence[RunRecord], store: CutoutStore) -> Iterator[Picture]:
    """Of each image volume of which the store has a run's slices: no run depends on it, so nothing is read for it."""
    from mtneuro_ray.results.figures.gallery import correlation_picture, stored_stacks

    def load(run: RunSettings, split: Split) -> SplitArrays:
        # The images alone: what a readout measures in its annotation would take long.
        task = run.task.model_copy(update={"task": "classification"})
        return load_split(store, run.data[0], None, task, split)

    for record in widest(records):
        try:
            stacks = stored_stacks(record, load)
        except MTNeuroError:
            continue
        if stacks:
            yield correlation_picture(record, stacks)
