"""All pictures of an output folder."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from mtneuro_ray.data import predictions
from mtneuro_ray.results.cautions import confusion_of
from mtneuro_ray.results.figures.confusion import draw_confusion
from mtneuro_ray.results.figures.curves import draw_curves
from mtneuro_ray.results.figures.picture import Picture
from mtneuro_ray.results.figures.scenes import Scene, SplitLoader, scenes_of
from mtneuro_ray.results.figures.slices import draw_slices
from mtneuro_ray.results.figures.volumes import draw_volume, has_depth
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.methods import by_method, data_labels, differences, label_of
from mtneuro_ray.results.selection import representatives
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord

T = TypeVar("T")


def run_pictures(records: Sequence[RunRecord]) -> Iterator[Picture]:
    """Learning curves and grid of each model, task, number of epochs and data; then its methods' confusions."""
    shown = [Run.of(record) for record in records if record.status != "error"]
    labels = data_labels(shown)
    for runs in _grouped([run for run in shown if run.history], _kind_of):
        summary = runs[0].summary
        title = f"{summary['model']} on {summary['task']}, {summary['epochs']} epochs, {labels[runs[0].data]}"
        name = f"curves_{summary['model']}_{summary['task']}"
        yield Picture(name, f"{title}: learning curves", draw_curves(runs, title))
    finals = [run for run in shown if run.summary["role"] == "final" and confusion_of(run)]
    for own in _grouped(finals, lambda run: (run.summary["model"], run.summary["task"])):
        told = [path for path in differences(own) if path.rpartition(".")[2] not in own[0].summary]
        for seeds in by_method(own):
            yield _confusion(seeds, told, labels[seeds[0].data])


def _confusion(seeds: Sequence[Run], paths: Sequence[str], data: str) -> Picture:
    """The picture of one method, told by some of its settings where its model and task have several."""
    summary = seeds[0].summary
    candidate = f"lr {summary['learning_rate']:g}, batch {summary['batch_size']}, {summary['epochs']} epochs"
    count = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, test split"
    head = f"{summary['model']} on {summary['task']}, {data}"
    lines = list(filter(None, (head, f"{candidate}, {count}", label_of(seeds[0], paths))))
    name = f"confusion_{summary['model']}_{summary['task']}"
    return Picture(name, f"{', '.join(lines)}: confusion", draw_confusion(seeds, "\n".join(lines)))


def prediction_pictures(scenes: Sequence[Scene]) -> Iterator[Picture]:
    """The paper's Figure 3 of each model: slices with overlays, then a view in 3D of each box."""
    for model in dict.fromkeys(scene.model for scene in scenes):
        own = [scene for scene in scenes if scene.model == model]
        yield Picture(f"slices_{model}", f"{model}: image, truth and prediction", draw_slices(own), is_photo=True)
        for scene in filter(has_depth, own):
            title = f"{model}, {scene.region}: truth and prediction in 3D"
            yield Picture(f"volume_{model}_{scene.region}", title, draw_volume(scene), is_photo=True)


def shown_runs(records: Sequence[RunRecord], out: Folder) -> list[RunRecord]:
    """One finished segmentation run per model and task, of those whose predictions lie in `out` where there are."""
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
    by_model = _grouped(runs, lambda pair: pair[0].model)
    return [scene for own in by_model for scene in scenes_of(own, load)]


def _kind_of(run: Run) -> Hashable:
    """What the candidates and seeds of one search have in common."""
    summary = run.summary
    return (summary["task"], summary["model"], summary["epochs"], run.data)


def _grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
