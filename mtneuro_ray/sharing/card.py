"""The model card of a shared run: README.md with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.sampling import count_samples
from mtneuro_ray.errors import printable
from mtneuro_ray.results.benchmark import family_of
from mtneuro_ray.results.cautions import cautions
from mtneuro_ray.results.departures import departures
from mtneuro_ray.results.frame import CONFUSION, Run
from mtneuro_ray.results.methods import finished
from mtneuro_ray.results.portable import without_folders
from mtneuro_ray.results.printing import markdown
from mtneuro_ray.results.query import Results
from mtneuro_ray.results.tables import MISSING, Cells, Table, number
from mtneuro_ray.results.tasks import NO_SCORES
from mtneuro_ray.storage.records import RunRecord

# Kind of labels -> the hub's name of the task.
_PIPELINES = {"voxel": "image-segmentation", "image": "image-classification"}
_DIGITS = 4


def card(record: RunRecord, results: Results, inputs: str, outputs: str, files: Mapping[str, str]) -> str:
    """Text of README.md.

    Args:
        record: The run.
        results: Its output folder, whose other runs are its seeds and its search.
        inputs: Type, axes and scaling of inputs.
        outputs: Axes of logits.
        files: Name of each file of the folder -> content.
    """
    run, settings = Run.of(record), record.load_settings()
    summary, classes = record.summary, settings.task.classes
    title = printable(f"{summary['model']} on {summary['task']}")
    text: str = _template().render(
        front_matter=_front_matter(run, settings, title),
        title=title,
        model=settings.network.declaration.summary,
        kind=settings.task.task,
        classes=[printable(name) for name in classes],
        run_id=record.run_id,
        versions=record.versions,
        inputs=inputs,
        outputs=outputs,
        files=files.items(),
        training=list(_training(record, settings)),
        data_table=markdown([_data(settings)]),
        metrics_table=markdown([_metrics(run)]),
        seeds=_seeds(run, results),
        departures=_departures(run, results),
        limits=list(_limits(run, record, settings)),
    )
    return text


@cache
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("mtneuro_ray.sharing", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; the hub cleans what it renders.
    )
    return environment.get_template("README.md")


def _front_matter(run: Run, settings: RunSettings, title: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    labels = settings.task.declaration.labels
    pipeline = _PIPELINES.get(labels, "other")
    scores = [
        EvalResult(
            task_type=pipeline,
            dataset_type=run.data[0],
            dataset_name=settings.task.name,
            dataset_split=name.partition("/")[0],
            metric_type=name.partition("/")[2],
            metric_name=name,
            metric_value=round(value, _DIGITS),
        )
        for name, value in run.scalars().items()
        if name.startswith("test/") and name.partition("/")[2] not in NO_SCORES
    ]
    data = ModelCardData(
        model_name=title if scores else None,
        library_name="pytorch",
        pipeline_tag=pipeline if pipeline != "other" else None,
        tags=["mtneuro", "neuroscience", "x-ray", settings.network.model.name.lower(), settings.network.method.name],
        eval_results=scores or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _training(record: RunRecord, settings: RunSettings) -> Iterator[tuple[str, str]]:
    network, summary = settings.network, record.summary
    yield "Volumes", ", ".join(f"`{printable(name)}`" for name in settings.data)
    yield "Method", f"{network.method.name}, loss {network.loss.name}, {network.optimizer.name}"
    yield (
        "Steps",
        f"learning rate {summary['learning_rate']:g}, batch size {summary['batch_size']}, epochs {summary['epochs']}",
    )
    yield "Seed", str(summary["seed"])
    if settings.weights is not None or network.starts_pretrained:
        weights = getattr(network.model, "encoder_weights", None)
        yield "Initial weights of the encoder", f"{without_folders(weights)} {settings.weights or ''}".strip()
    yield "Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())


def _data(settings: RunSettings) -> Table:
    """Images of each split, and the cubes that they are cut from."""
    rows = []
    for split in ("train", "val", "test"):
        cubes = [cube for cube in settings.task.cubes if cube.split == split]
        if cubes:
            regions = ", ".join(dict.fromkeys(cube.region for cube in cubes))
            slices = ", ".join(dict.fromkeys(f"{cube.z[0]}:{cube.z[1]}" for cube in cubes))
            rows.append([split, str(count_samples(settings.task, split)), regions, slices])
    return Table("Images", ["split", "images", "regions", "slices along z, half-open"], rows)


def _metrics(run: Run) -> Table:
    """A row for each split and metric: its value over all, and one for each class."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for key, place in run.keys.items():
        is_score = key.metric not in NO_SCORES and not key.metric.startswith(f"{CONFUSION}/")
        if is_score and not key.region:
            found.setdefault((key.split, key.metric), {})[key.class_] = float(run.values[place])
    rows: list[Cells] = [
        [split, metric, *(number(own[name], _DIGITS) if name in own else MISSING for name in ("", *run.classes))]
        for (split, metric), own in found.items()
    ]
    return Table("Metrics", ["split", "metric", "all", *run.classes], rows)


def _seeds(run: Run, results: Results) -> str:
    """Spread of the main metric over the seeds of the same settings in the output folder."""
    name = next((name for name in run.scalars() if name.startswith("test/") and name.endswith("_mean")), None)
    name = name or next((name for name in run.scalars() if name.startswith("test/") and "loss" not in name), None)
    own = [each for each in finished(results.entries) if each.method == run.method] or [run]
    values = [value for each in own if name and (value := each.metric(name)) is not None]
    if len(values) < 2:
        return "One seed was trained: the spread over seeds is not known."
    listed = ", ".join(str(each.summary["seed"]) for each in own)
    return (
        f"{name} over {len(values)} seeds ({listed}): {statistics.mean(values):.4f} +- {statistics.stdev(values):.4f} "
        "(sample standard deviation)."
    )


def _departures(run: Run, results: Results) -> Sequence[str]:
    if family_of(run) is None:
        return [f"{printable(str(run.task['name']))} is no task of the paper."]
    name, candidates = str(run.task["name"]), [each for each in results.entries if each.summary["role"] == "candidate"]
    return departures([(name, name, run.summary["model"], [run])], candidates) or ["None that is known."]


def _limits(run: Run, record: RunRecord, settings: RunSettings) -> Iterator[str]:
    yield from record.notes
    yield from cautions([(record.summary["model"], [run])])
    if any(name.startswith("phantom:") for name in settings.data):
        yield "The training data are a phantom, computed and not measured: scores say nothing about tissue."
    yield (
        "Scores are of the volumes, regions and voxel size named above. Other specimens, stains and resolutions were "
        "not tried."
    )
    if settings.task.declaration.labels == "image" and settings.network.evaluation.eval_crops != "whole":
        yield (
            f"Scores are of `eval_crops = {settings.network.evaluation.eval_crops}`: parts of half the side of an "
            "image. The model takes such a part."
        )
