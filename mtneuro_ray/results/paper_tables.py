"""The paper's Tables 2 and A4 from runs of the benchmark's Task 2, with the paper's own values beside ours."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from mtneuro_ray.results import paper
from mtneuro_ray.results.benchmark import Line, MethodNames, Part, classes_of, lines_of, paper_name, parts_of
from mtneuro_ray.results.methods import by_method, finished
from mtneuro_ray.results.tables import MISSING, Table, Value, count, mean_and_deviation, mean_of, number
from mtneuro_ray.storage.records import RunRecord

_GROUPS = tuple(f"{classes}-class" for classes in paper.CLASSES)
_METRICS: dict[paper.Metric, str] = {"f1": "F1", "iou": "IoU"}
_REDUCTIONS = ("dataset", "image")
_TABLE_2_COLUMNS = [
    "Method",
    "Metric",
    *(
        f"{group} {column}"
        for group, classes in zip(_GROUPS, paper.CLASSES.values(), strict=True)
        for column in ("lr/batch", *classes, "Avg.")
    ),
]
_TABLE_2_NOTES = (
    "Rows (dataset) and (image) are ours, of the test split: the ratio of its counts, and the mean of its images' "
    "ratios.",
    "Classes: means over seeds. Avg.: mean +- sample standard deviation (ddof 1) over seeds of the mean over classes.",
    f"Rows (paper): {paper.DATA}, as published, at the learning rates and batch sizes of Table A4.",
)
_A4_BLOCK = ("lr", "batch", "value", "cells", "paper lr", "paper batch")
_A4_COLUMNS = ["Model", *(f"{group} {column}" for group in _GROUPS for column in _A4_BLOCK)]


def score_tables(records: Sequence[RunRecord]) -> list[Table]:
    """Table 2, one for each part, data and scale."""
    return [_score_table(part, runs) for part, runs in parts_of(finished(records))]


def _score_table(part: Part, records: Sequence[RunRecord]) -> Table:
    names = MethodNames()
    lines = lines_of(part, by_method(records), names)
    return Table(
        f"Table 2, {part.name}: {part.source} (rows paper: {paper.DATA})",
        _TABLE_2_COLUMNS,
        [row for line in lines for row in _score_rows(line)],
        _GROUPS,
        (*_TABLE_2_NOTES, f"Data: {part.data[0]}", _seeds(lines), *names.notes),
    )


def _score_rows(line: Line) -> Iterator[list[Value | str]]:
    """Both reductions of each metric, and the paper's value under them."""
    for metric, heading in _METRICS.items():
        for both in zip_longest(*line.settings.values()):
            for reduction in _REDUCTIONS:
                blocks = zip(paper.CLASSES, both, strict=True)
                cells = [cell for classes, runs in blocks for cell in _scores(classes, runs, f"{reduction}/{metric}")]
                yield [line.name, f"{heading} ({reduction})", *cells]
        if (line.paper_name, metric) in paper.TABLE_2:
            cells = [cell for classes in paper.CLASSES for cell in _paper_scores(line.paper_name, metric, classes)]
            yield [line.paper_name, f"{heading} (paper)", *cells]


def _scores(classes: int, runs: Sequence[RunRecord] | None, metric: str) -> list[Value]:
    """One row's cells of one setting."""
    if runs is None:
        return [MISSING] * (classes + 2)
    average = mean_and_deviation([run.metrics["test"][f"{metric}_mean"] for run in runs])
    return [_cell(runs), *map(mean_of, _per_class(runs, metric)), average]


def _cell(runs: Sequence[RunRecord]) -> Value:
    summary = runs[0].summary
    seeds = [run.summary["seed"] for run in runs]
    return _cell_value(summary["learning_rate"], summary["batch_size"], seeds)


def _cell_value(learning_rate: float, batch_size: int, seeds: Sequence[int] | None = None) -> Value:
    cell = {"learning_rate": learning_rate, "batch_size": batch_size, "seeds": seeds}
    return Value(f"{learning_rate:g}/{batch_size}", cell)


def _per_class(runs: Sequence[RunRecord], metric: str) -> list[tuple[float, ...]]:
    """The seeds' values of each class."""
    return list(zip(*(run.metrics["test"][metric] for run in runs), strict=True))


def _paper_scores(name: str, metric: paper.Metric, classes: int) -> list[Value]:
    score = paper.TABLE_2[name, metric][classes]
    average = Value(f"{score.mean:.2f} +- {score.std:.3f}", {"mean": score.mean, "std": score.std})
    return [_cell_value(*paper.TABLE_A4[name][classes]), *(number(value, 2) for value in score.per_class), average]


def _seeds(lines: Sequence[Line]) -> str:
    """Over how many seeds the means are taken."""
    numbers = {
        f"{line.name.text} {classes}-class {_cell(runs).text}": len(runs)
        for line in lines
        for classes, groups in line.settings.items()
        for runs in groups
    }
    if len(set(numbers.values())) == 1:
        return f"Seeds: {next(iter(numbers.values()))} each."
    return f"Seeds: {'; '.join(f'{name}: {seeds}' for name, seeds in numbers.items())}."


def distance_tables(records: Sequence[RunRecord]) -> list[Table]:
    """Which reduction of our IoU is closer to the paper's (PROTOCOL, Task 2): one table, or none."""
    rows: list[list[Value | str]] = []
    phantom = False
    for part, runs in parts_of(finished(records)):
        distances = [_distances(part, runs, reduction) for reduction in _REDUCTIONS]
        if distances[0]:
            dataset, image = map(statistics.fmean, distances)
            closer = "equal" if abs(dataset - image) < 1e-9 else _REDUCTIONS[dataset > image]
            cells = [count(len(distances[0])), number(dataset), number(image)]
            rows.append([part.name, part.source, paper.DATA, *cells, closer])
            phantom |= part.data[0].startswith("phantom:")
    if not rows:
        return []
    notes = ["Over the values of single classes that both have; averages follow from them."]
    if phantom:
        notes.append(f"The phantom is not {paper.DATA}: this compares across data sets, and decides nothing.")
    columns = ["Part", "Ours", "Paper", "Values", *(f"IoU ({reduction})" for reduction in _REDUCTIONS), "Closer"]
    return [Table("Table 2, mean absolute difference of our IoU from the paper's", columns, rows, notes=tuple(notes))]


def _distances(part: Part, records: Sequence[RunRecord], reduction: str) -> list[float]:
    """|ours - paper| of each class of each method that the paper has."""
    distances: list[float] = []
    for runs in by_method(records):
        published = paper.TABLE_2.get((paper_name(runs[0], part.dimension), "iou"))
        if published is not None:
            ours = map(statistics.fmean, _per_class(runs, f"{reduction}/iou"))
            theirs = published[classes_of(runs[0])].per_class
            distances.extend(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    return distances


def cell_table(part: Part, cells: Sequence[RunRecord], best: Sequence[Mapping[str, Any]]) -> Table:
    """Table A4 of one part.

    Args:
        part: What the cells have in common.
        cells: The finished cells.
        best: Of `Results.best`, over these cells.
    """
    entries, names = {entry["run_id"]: entry for entry in best}, MethodNames()
    rivals = [_search_of(cell) for cell in cells]
    rows: list[list[Value | str]] = []
    for line in lines_of(part, ([cell] for cell in cells if cell.run_id in entries), names):
        for both in zip_longest(*line.settings.values()):
            row: list[Value | str] = [line.name]
            for classes, runs in zip(paper.CLASSES, both, strict=True):
                row.extend([MISSING] * 4 if runs is None else _best(entries[runs[0].run_id], rivals))
                row.extend(_paper_best(line.paper_name, classes))
            rows.append(row)
    metrics = ", ".join(sorted({entry["metric"] for entry in best}))
    notes = (f"value: {metrics} of the best of so many cells. paper: {paper.DATA}, as published.", *names.notes)
    return Table(f"Table A4, {part.name}, best cells: {part.source}", _A4_COLUMNS, rows, _GROUPS, notes)


def _search_of(cell: RunRecord) -> tuple[str, str]:
    return cell.summary["task"], cell.summary["model"]


def _best(entry: Mapping[str, Any], rivals: Sequence[tuple[str, str]]) -> list[Value]:
    cells = rivals.count((entry["task"], entry["model"]))
    return [*_hyperparameters(entry["learning_rate"], entry["batch_size"]), number(entry["value"]), count(cells)]


def _paper_best(name: str, classes: int) -> list[Value]:
    published = paper.TABLE_A4.get(name)
    return [MISSING, MISSING] if published is None else _hyperparameters(*published[classes])


def _hyperparameters(learning_rate: float, batch_size: int) -> list[Value]:
    return [Value(f"{learning_rate:g}", learning_rate), count(batch_size)]
