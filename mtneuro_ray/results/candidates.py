"""The best candidates of the searches of an output folder, and the paper's Table A4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from mtneuro_ray.config.space import Mode
from mtneuro_ray.errors import InputError, nearest
from mtneuro_ray.results import published
from mtneuro_ray.results.benchmark import MethodNames, Part, part_of, parts_of
from mtneuro_ray.results.departures import departures
from mtneuro_ray.results.frame import Run, grouped
from mtneuro_ray.results.layouts import PARTS
from mtneuro_ray.results.methods import by_method, data_labels, differences, finished, short, text_of
from mtneuro_ray.results.paper_tables import lines_of, shown_of
from mtneuro_ray.results.published import DATA
from mtneuro_ray.results.tables import MISSING, Cells, Table, Value, count, number
from mtneuro_ray.results.tasks import mode_of_run, selection_metric
from mtneuro_ray.sweep.experiment import Scored, select

_BLOCK = ("lr", "batch", "value", "candidates", "paper lr", "paper batch")


def searched(runs: Sequence[Run]) -> dict[str, str]:
    """Path of each hyperparameter in which the candidates of one experiment differ -> its column.

    Paths that repeat the rate, batch size or epochs of the summary are left out.
    """
    candidates = [run for run in runs if run.summary["role"] == "candidate"]
    columns = {}
    for path in differences(candidates):
        network, summary = candidates[0].network, candidates[0].summary
        repeats = [key for key in summary if all(run.network.get(path) == run.summary[key] for run in candidates)]
        if not repeats:
            name = short(path, network)
            columns[path] = path if name in summary else name
    return columns


def best(runs: Sequence[Run], metric: str | None = None, mode: Mode | None = None) -> list[dict[str, Any]]:
    """The best candidate of each model, task, scale and state of the data.

    Args:
        runs: Candidates and final runs. Among equal candidates the one with final runs is the best.
        metric: Name such as `val/dataset/iou_mean`; the task's own by default.
        mode: Whether larger or smaller is better; by default as the metric's declaration says.

    Returns:
        One entry each: model, task, learning_rate, batch_size, the other searched hyperparameters, metric, value, std
        over seeds where there are several, and run_id of the first seed; "ties" names candidates with the same value,
        "close" those within one standard deviation, and "data" the state of the data where there are several.

    Raises:
        InputError: no candidate has the metric.
    """
    candidates = [run for run in runs if run.summary["role"] == "candidate"]
    done = {run.keys_json: run for run in candidates if run.status == "done"}
    known = sorted({name for run in done.values() for name in run.scalars()})
    if metric is not None and known and metric not in known:
        raise InputError(f"--metric: no candidate has {metric!r}{nearest(metric, known)}; accepted: {', '.join(known)}")
    repeated, labels = {run.method for run in runs if run.summary["role"] == "final"}, data_labels(runs)
    entries = []
    for own in grouped(candidates, _search_of).values():
        name = metric or selection_metric(own[0])
        entry = None if name is None else _best(own, name, mode or mode_of_run(own[0], name), repeated)
        if entry is not None:
            label = labels[own[0].data]
            entries.append({**entry, **({"data": label} if label.count(" ") > 1 else {})})
    return entries


def _search_of(run: Run) -> tuple[Any, ...]:
    return (run.summary["task"], run.summary["model"], run.summary["epochs"], part_of(run))


def _best(runs: Sequence[Run], metric: str, mode: Mode, repeated: set[str]) -> dict[str, Any] | None:
    """The entry of one search; None if no candidate has a value for each of its seeds."""
    columns = searched(runs)
    methods = sorted(by_method(runs), key=lambda seeds: seeds[0].method not in repeated)
    scored = [_scored(seeds, metric, columns) for seeds in methods]
    selection = select(scored, mode)
    if selection is None:
        return None
    seeds = next(seeds for seeds, own in zip(methods, scored, strict=True) if own is selection.best)
    return {
        **{name: seeds[0].summary[name] for name in ("model", "task")},
        **selection.best.candidate,
        "metric": metric,
        "value": selection.best.mean,
        **({"std": selection.best.std} if len(seeds) > 1 else {}),
        "run_id": seeds[0].run_id,
        **{
            name: "; ".join(_told(own.candidate) for own in others)
            for name, others in (("ties", selection.ties), ("close", selection.close))
            if others
        },
    }


def _scored(seeds: Sequence[Run], metric: str, columns: Mapping[str, str]) -> Scored:
    first = seeds[0]
    candidate = {
        **{name: first.summary[name] for name in ("learning_rate", "batch_size")},
        **{column: first.network.get(path) for path, column in columns.items()},
    }
    return Scored(candidate, tuple(run.metric(metric) if run.status == "done" else None for run in seeds))


def _told(candidate: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {text_of(value)}" for key, value in candidate.items())


def hyperparameter_tables(runs: Sequence[Run]) -> list[Table]:
    """The paper's Table A4: the best candidates of its segmentation tasks, and the paper's beside them."""
    labels = data_labels(runs)
    found = [
        _hyperparameters(title, tasks, part, own, labels)
        for title, tasks in PARTS.items()
        for part, own in parts_of(runs, tasks)
    ]
    return [table for table in found if table.cells]


def _hyperparameters(
    title: str, tasks: Mapping[str, str], part: Part, runs: Sequence[Run], labels: Mapping[tuple[str, ...], str]
) -> Table:
    entries = {entry["run_id"]: entry for entry in best(runs)}
    candidates = finished(runs, "candidate")
    rivals = Counter((run.summary["task"], run.summary["model"]) for run in candidates)
    names = MethodNames(candidates, ("optimizer.learning_rate", "data.batch_size"))
    rows: list[Cells] = []
    lines = lines_of(tasks, [[run] for run in candidates if run.run_id in entries], names)
    for line in lines:
        for together in zip_longest(*line.variants.values()):
            row = [line.name]
            for task, own in zip(tasks, together, strict=True):
                row += [MISSING] * 4 if own is None else _selected(entries[own[0].run_id], rivals)
                paper = [published.score(task, line.method, key) for key in ("learning_rate", "batch_size")]
                row += [MISSING if score is None else Value(f"{score.mean:g}", score.mean) for score in paper]
            rows.append(row)
    metrics = ", ".join(sorted({entry["metric"] for entry in entries.values()}))
    notes = (
        f"value: {metrics} of the best of so many candidates. paper: {DATA}, as published.",
        *departures(shown_of(tasks, lines), candidates),
        *names.notes,
    )
    columns = ["Model", *(f"{heading} {column}" for heading in tasks.values() for column in _BLOCK)]
    heading = f"Table A4, {title}, best candidates: {part.source(labels)}"
    return Table(heading, columns, rows, tuple(tasks.values()), notes)


def _selected(entry: Mapping[str, Any], rivals: Mapping[tuple[str, str], int]) -> list[Value]:
    rate, batch = entry["learning_rate"], entry["batch_size"]
    number_of = count(rivals[entry["task"], entry["model"]])
    return [Value(f"{rate:g}", rate), count(batch), number(entry["value"]), number_of]
