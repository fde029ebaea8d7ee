"""All pictures of an output folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data import predictions
from mtneuro_ray.data.mosaic import assemble
from mtneuro_ray.data.predictions import Predictions
from mtneuro_ray.data.shown import shown
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.results.benchmark import changed_images, family_of, part_of
from mtneuro_ray.results.charts.confusion import confusions_of
from mtneuro_ray.results.charts.importance import Importance, Studies
from mtneuro_ray.results.charts.parallel import parallel_of
from mtneuro_ray.results.charts.projection import Projection
from mtneuro_ray.results.charts.scenes import Scene, SplitLoader, scenes_of
from mtneuro_ray.results.charts.scores import scores_of
from mtneuro_ray.results.charts.searches import Search, searches_of
from mtneuro_ray.results.charts.timings import timings_of
from mtneuro_ray.results.figures.confusion import draw_confusion
from mtneuro_ray.results.figures.curves import draw_curves
from mtneuro_ray.results.figures.embeddings import draw_embeddings
from mtneuro_ray.results.figures.method_points import draw_comparison
from mtneuro_ray.results.figures.mined_views import draw_views
from mtneuro_ray.results.figures.picture import Picture
from mtneuro_ray.results.figures.scores import draw_classes, draw_seeds
from mtneuro_ray.results.figures.search import draw_importance, draw_parallel
from mtneuro_ray.results.figures.slice_correlation import Stack, draw_correlations, stacks_of
from mtneuro_ray.results.figures.slices import draw_slices
from mtneuro_ray.results.figures.timings import draw_timings
from mtneuro_ray.results.figures.volume_views import draw_volume, has_depth
from mtneuro_ray.results.frame import Run, grouped, runs_of
from mtneuro_ray.results.methods import data_labels
from mtneuro_ray.results.paper_tables import compared
from mtneuro_ray.results.selection import has_mined, is_final_readout, representatives, seeds_of, widest
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord


def run_pictures(records: Sequence[RunRecord], studies: Studies | None = None) -> Iterator[Picture]:
    """Pictures that run files alone give.

    Curves, axes and importance of each search; then confusions of each method, seeds and classes of each task, and
    timings.

    Args:
        records: Run files.
        studies: Optuna's studies of their folder, for the importance of hyperparameters.
    """
    by_id = {record.run_id: record for record in records}
    runs = [Run.of(record) for record in records]
    searches = searches_of(runs)
    for search in searches:
        yield from _search_pictures(search, by_id, None if studies is None else studies.importance(search))
    for found in confusions_of(runs):
        yield Picture(found.name, found.title, draw_confusion(found))
    for scores in scores_of(runs):
        yield Picture(f"seeds_{scores.name}", f"{scores.title}: seeds", draw_seeds(scores))
        if scores.by_class:
            yield Picture(f"classes_{scores.name}", f"{scores.title}: classes by region", draw_classes(scores))
    timings = timings_of(searches, by_id)
    if timings.durations:
        yield Picture("timings", "Timings", draw_timings(timings))


def _search_pictures(
    search: Search, records: Mapping[str, RunRecord], importance: Importance | None
) -> Iterator[Picture]:
    shares = {} if importance is None else importance.shares
    if any(records[run.run_id].history for run in search.runs):
        title = f"{search.title}: learning curves"
        yield Picture(f"curves_{search.name}", title, draw_curves(search, records, shares))
    parallel = parallel_of(search)
    if parallel is not None and len(parallel.axes) > 1:
        yield Picture(f"search_{search.name}", f"{search.title}: search", draw_parallel(parallel, search.title))
    if importance is not None:
        title = f"{search.title}: importance of the hyperparameters"
        yield Picture(f"importance_{search.name}", title, draw_importance(importance, search.title))


def shown_runs(records: Sequence[RunRecord], out: Folder) -> list[RunRecord]:
    """One finished segmentation run per model and task, preferably one whose predictions lie in `out`."""
    there = [record.run_id for record in records if predictions.exist(predictions.place_of(out, record.run_id))]
    return representatives(records, there)


def stored_scenes(
    records: Sequence[RunRecord], out: Folder, load: SplitLoader, every: Sequence[RunRecord] = ()
) -> list[Scene]:
    """The scenes of runs whose predictions of the test split lie in an output folder.

    Args:
        records: The runs.
        out: Output folder.
        load: Gives a split of a run.
        every: All runs of the folder; predictions of other seeds among them show where seeds disagree.

    Raises:
        InputError: predictions are damaged.
    """
    runs = [(record.load_settings(), own) for record in records for own in _stored(record, out)]
    others = {
        record.run_id: [
            own for seed in seeds_of(record, every) if seed.run_id != record.run_id for own in _stored(seed, out)
        ]
        for record in records
    }
    by_model = grouped(runs, lambda pair: pair[0].model)
    return [scene for own in by_model.values() for scene in scenes_of(own, load, others)]


def _stored(record: RunRecord, out: Folder) -> list[Predictions]:
    """The predictions of a run, if they are there."""
    place = predictions.place_of(out, record.run_id)
    return [predictions.read(place)] if predictions.exist(place) else []


def slice_pictures(scenes: Sequence[Scene]) -> Iterator[Picture]:
    """The slices of the paper's Figure 3 of each model, with overlays."""
    for model, own in grouped(scenes, lambda scene: scene.model).items():
        yield Picture(f"slices_{model}", f"{model}: image, truth and prediction", draw_slices(own), is_photo=True)


def volume_pictures(scenes: Sequence[Scene]) -> Iterator[Picture]:
    """A view in 3D of each box of each model."""
    for scene in filter(has_depth, scenes):
        title = f"{scene.model}, {scene.region}: truth and prediction in 3D"
        yield Picture(f"volume_{scene.model}_{scene.region}", title, draw_volume(scene), is_photo=True)


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


def correlation_pictures(records: Sequence[RunRecord], load: SplitLoader) -> Iterator[Picture]:
    """The paper's Figure A1 of each image volume whose voxels are in the store; no voxel is read for it."""
    for record in widest(records):
        stacks = []
        with suppress(MTNeuroError):
            stacks = stored_stacks(record, load)
        if stacks:
            yield correlation_picture(record, stacks)


def correlation_picture(record: RunRecord, stacks: Sequence[Stack]) -> Picture:
    """The paper's Figure A1 of the images of a run."""
    run, task = Run.of(record), record.settings["task"]
    images = changed_images(run.task) if family_of(run) else []
    of = ", ".join([data_labels([run])[run.data], task["name"], f"downsampling {task['downsample']}", *images])
    title = f"Correlation of slices, {of}"
    return Picture("correlation", title, draw_correlations(stacks, title), is_photo=True)
