"""All pictures of an output folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data import predictions
from mtneuro_ray.data.mosaic import assemble
from mtneuro_ray.data.shown import shown
from mtneuro_ray.results.benchmark import changed_images, family_of, part_of
from mtneuro_ray.results.charts.confusion import confusions_of
from mtneuro_ray.results.charts.searches import searches_of
from mtneuro_ray.results.figures.comparison import draw_comparison
from mtneuro_ray.results.figures.confusion import draw_confusion
from mtneuro_ray.results.figures.correlation import Stack, draw_correlations, stacks_of
from mtneuro_ray.results.figures.curves import draw_curves
from mtneuro_ray.results.figures.embeddings import Projection, draw_embeddings
from mtneuro_ray.results.figures.mined_views import draw_views
from mtneuro_ray.results.figures.picture import Picture
from mtneuro_ray.results.figures.scenes import Scene, SplitLoader, scenes_of
from mtneuro_ray.results.figures.slices import draw_slices
from mtneuro_ray.results.figures.volumes import draw_volume, has_depth
from mtneuro_ray.results.frame import Run, grouped, runs_of
from mtneuro_ray.results.methods import data_labels
from mtneuro_ray.results.paper_tables import compared
from mtneuro_ray.results.selection import has_mined, is_final_readout, representatives
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord


def run_pictures(records: Sequence[RunRecord]) -> Iterator[Picture]:
    """Learning curves and search of each model, task, number of epochs and data; then confusions of each method."""
    runs, by_id = [Run.of(record) for record in records], {record.run_id: record for record in records}
    for search in searches_of(runs):
        if any(by_id[run.run_id].history for run in search.runs):
            yield Picture(f"curves_{search.name}", f"{search.title}: learning curves", draw_curves(search, by_id))
    for found in confusions_of(runs):
        yield Picture(found.name, found.title, draw_confusion(found))


def shown_runs(records: Sequence[RunRecord], out: Folder) -> list[RunRecord]:
    """One finished segmentation run per model and task, preferably one whose predictions lie in `out`."""
    there = [record.run_id for record in records if predictions.exist(predictions.place_of(out, record.run_id))]
    return representatives(records, there)


def stored_scenes(records: Sequence[RunRecord], out: Folder, load: SplitLoader) -> list[Scene]:
    """The scenes of runs whose predictions of the test split lie in an output folder.

    Raises:
        InputError: predictions are damaged.
    """
    runs = [
        (record.load_settings(), predictions.read(place))
        for record in records
        if predictions.exist(place := predictions.place_of(out, record.run_id))
    ]
    by_model = grouped(runs, lambda pair: pair[0].model)
    return [scene for own in by_model.values() for scene in scenes_of(own, load)]


def prediction_pictures(scenes: Sequence[Scene]) -> Iterator[Picture]:
    """The paper's Figure 3 of each model: slices with overlays, then a view in 3D of each box."""
    for model, own in grouped(scenes, lambda scene: scene.model).items():
        yield Picture(f"slices_{model}", f"{model}: image, truth and prediction", draw_slices(own), is_photo=True)
        for scene in filter(has_depth, own):
            title = f"{model}, {scene.region}: truth and prediction in 3D"
            yield Picture(f"volume_{model}_{scene.region}", title, draw_volume(scene), is_photo=True)


def table_pictures(records: Sequence[RunRecord]) -> Iterator[Picture]:
    """The paper's tables that compare methods, as points."""
    for found in compared(runs_of(records)):
        yield Picture(found.layout.name, found.table.title, draw_comparison(found))


def _source_of(record: RunRecord) -> str:
    """Data and scale of a run."""
    run = Run.of(record)
    return part_of(run).source(data_labels([run]))


def read_out_runs(records: Iterable[RunRecord]) -> list[RunRecord]:
    """One finished readout per model and task."""
    return representatives(records, is_shown=is_final_readout)


def embedding_pictures(projected: Sequence[tuple[RunRecord, Projection]]) -> Iterator[Picture]:
    """The paper's Figures 4 and A4 of each network, data and scale: its encoders below each other."""
    kinds = grouped(projected, lambda pair: (pair[0].summary["model"], _source_of(pair[0])))
    for (network, source), own in kinds.items():
        title = f"{network}, {source}: UMAP of the embeddings of corners"
        figure = draw_embeddings([projection for _, projection in own], title)
        yield Picture(f"embeddings_{network}", title, figure, is_photo=True)


def mining_runs(records: Sequence[RunRecord], out: Folder) -> list[RunRecord]:
    """One finished run of each model that mines views, preferably one whose examples lie in `out`."""
    there = [record.run_id for record in records if views.exist(out, record.run_id)]
    own = representatives(records, there, has_mined)
    return [found[0] for found in grouped(own, lambda record: record.summary["model"]).values()]


def view_picture(record: RunRecord, examples: views.Views) -> Picture:
    """The paper's Figure A3 of one run."""
    summary = record.summary
    title = f"{summary['model']} on {summary['task']}, {_source_of(record)}: views"
    return Picture(f"views_{summary['model']}", title, draw_views(examples, title), is_photo=True)


def stored_stacks(record: RunRecord, load: SplitLoader) -> list[Stack]:
    """The slices of the first box of each region of a run on whole images.

    Raises:
        StoreError: voxels are missing.
    """
    run = record.load_settings()
    splits = dict.fromkeys(cube.split for cube in run.task.cubes)
    mosaics = [mosaic for split in splits for mosaic in assemble(run.task, split, shown(load(run, split).images))]
    return [stack for stack in stacks_of(mosaics) if len(stack.z) > 1]


def correlation_picture(record: RunRecord, stacks: Sequence[Stack]) -> Picture:
    """The paper's Figure A1 of the images of a run."""
    run, task = Run.of(record), record.settings["task"]
    images = changed_images(run.task) if family_of(run) else []
    of = ", ".join([data_labels([run])[run.data], task["name"], f"downsampling {task['downsample']}", *images])
    title = f"Correlation of slices, {of}"
    return Picture("correlation", title, draw_correlations(stacks, title), is_photo=True)
