"""All pictures of the encoders of an output folder: Tasks 1 and 3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data.mosaic import assemble
from mtneuro_ray.results.benchmark import changed_images, family_of, part_of
from mtneuro_ray.results.figures.comparison import draw_comparison
from mtneuro_ray.results.figures.correlation import Stack, draw_correlations, stacks_of
from mtneuro_ray.results.figures.embeddings import Projection, draw_embeddings
from mtneuro_ray.results.figures.mined_views import draw_views
from mtneuro_ray.results.figures.picture import Picture
from mtneuro_ray.results.figures.scenes import SplitLoader
from mtneuro_ray.results.frame import Run, runs_of
from mtneuro_ray.results.methods import data_labels
from mtneuro_ray.results.paper_tables import compared
from mtneuro_ray.results.selection import has_mined, is_final_readout, representatives
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord


def table_pictures(records: Sequence[RunRecord]) -> Iterator[Picture]:
    """The paper's tables that compare methods, as points."""
    for found in compared(runs_of(records)):
        yield Picture(found.layout.name, found.table.title, draw_comparison(found))


def source_of(record: RunRecord) -> str:
    """Data and scale of a run."""
    run = Run.of(record)
    return part_of(run).source(data_labels([run]))


def read_out_runs(records: Iterable[RunRecord]) -> list[RunRecord]:
    """One finished readout per model and task."""
    return representatives(records, is_shown=is_final_readout)


def embedding_pictures(projected: Sequence[tuple[RunRecord, Projection]]) -> Iterator[Picture]:
    """The paper's Figures 4 and A4 of each network, data and scale: its encoders below each other."""
    kinds: dict[tuple[str, str], list[Projection]] = {}
    for record, projection in projected:
        kinds.setdefault((record.summary["model"], source_of(record)), []).append(projection)
    for (network, source), own in kinds.items():
        title = f"{network}, {source}: UMAP of the embeddings of corners"
        yield Picture(f"embeddings_{network}", title, draw_embeddings(own, title), is_photo=True)


def mining_runs(records: Iterable[RunRecord], out: Folder) -> list[RunRecord]:
    """One finished run of each model that mines views, of those whose examples lie in `out` where there are."""
    own = list(records)
    there = [record.run_id for record in own if views.exist(out, record.run_id)]
    first: dict[str, RunRecord] = {}
    for record in representatives(own, there, has_mined):
        first.setdefault(record.summary["model"], record)
    return list(first.values())


def view_picture(record: RunRecord, examples: views.Views) -> Picture:
    """The paper's Figure A3 of one run."""
    summary = record.summary
    title = f"{summary['model']} on {summary['task']}, {source_of(record)}: views"
    return Picture(f"views_{summary['model']}", title, draw_views(examples, title), is_photo=True)


def stored_stacks(record: RunRecord, load: SplitLoader) -> list[Stack]:
    """The slices of the first box of each region of a run's images.

    Args:
        record: Of a run on whole images.
        load: Gives the images of a run's split.

    Raises:
        StoreError: voxels are missing.
    """
    run = record.load_settings()
    splits = dict.fromkeys(cube.split for cube in run.task.cubes)
    mosaics = [mosaic for split in splits for mosaic in assemble(run.task, split, load(run, split).images)]
    return [stack for stack in stacks_of(mosaics) if len(stack.z) > 1]


def correlation_picture(record: RunRecord, stacks: Sequence[Stack]) -> Picture:
    """The paper's Figure A1 of the images of a run."""
    run, task = Run.of(record), record.settings["task"]
    images = changed_images(run.task) if family_of(run) else []
    of = ", ".join([data_labels([run])[run.data], task["name"], f"downsampling {task['downsample']}", *images])
    title = f"Correlation of slices, {of}"
    return Picture("correlation", title, draw_correlations(stacks, title), is_photo=True)
