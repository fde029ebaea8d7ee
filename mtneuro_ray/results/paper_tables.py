"""The paper's tables from runs of its own tasks, with the published values beside ours.

Each table is a pivot of the frame: a line per method, a group of columns per task, and rows and columns that give the
metric, the class and the split of each cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from mtneuro_ray.results import published
from mtneuro_ray.results.benchmark import MIXUP, MethodNames, Part, mixup_of, paper_method, parts_of, place_of
from mtneuro_ray.results.cautions import cautions, order_notes
from mtneuro_ray.results.compare.marks import Judge, Marks
from mtneuro_ray.results.departures import Shown, departures
from mtneuro_ray.results.frame import Key, Run
from mtneuro_ray.results.layouts import Column, Row, TableLayout, layouts
from mtneuro_ray.results.methods import Seeds, by_method, data_labels, finished
from mtneuro_ray.results.published import DATA
from mtneuro_ray.results.scores import values_of
from mtneuro_ray.results.tables import MISSING, Cells, Table, Value, mean_and_deviation, mean_of, number

_SETTINGS_NOTE = (
    "Changed settings, as --set takes them. Of frozen encoders method.* are the encoder's training, all others the "
    "linear layer's."
)


class TableLine(NamedTuple):
    """A method by its shown name and the paper's, and per task the groups of runs that stand one under the other."""

    name: Value
    method: str | None
    variants: dict[str, list[list[Run]]]


class Point(NamedTuple):
    """Mean and deviation over seeds of the method of a line in a panel; kind is the heading of its row or "paper"."""

    panel: str
    line: int
    kind: str
    mean: float
    std: float | None


class Compared(NamedTuple):
    """One of the paper's tables, with its layout, its methods and their notes."""

    layout: TableLayout
    lines: list[TableLine]
    names: MethodNames
    table: Table


def tables(runs: Sequence[Run], judge: Judge | None = None) -> list[Table]:
    """The paper's tables, one for each data and scale; failed runs tell how many seeds there should be.

    A `judge` marks the methods that are the best of a column, or can't be told apart from it.
    """
    return [found.table for found in _found(runs, layouts(), judge)]


def compared(runs: Sequence[Run]) -> list[Compared]:
    """The paper's tables that compare the order of methods with ours."""
    return list(_found(runs, [layout for layout in layouts() if layout.compares_methods]))


def _found(runs: Sequence[Run], shown: Sequence[TableLayout], judge: Judge | None = None) -> Iterator[Compared]:
    labels, every, finals = data_labels(runs), Seeds(runs), finished(runs)
    candidates = [run for run in runs if run.summary["role"] == "candidate"]
    for layout in shown:
        for part, own in parts_of(finals, layout.tasks):
            if any(run.task["name"] in layout.own for run in own):
                names = MethodNames(own, (MIXUP, "optimizer.learning_rate", "data.batch_size"))
                lines = lines_of(layout.tasks, by_method(own), names, lists_absent=layout.compares_methods)
                notes = [_seeds(_named(layout, lines), every), *departures(shown_of(layout.tasks, lines), candidates)]
                marks = Marks(judge, (seeds for _, seeds in _named(layout, lines)))
                table = _table(layout, part, lines, names, part.source(labels), notes, marks)
                yield Compared(layout, lines, names, table)


def _table(
    layout: TableLayout,
    part: Part,
    lines: list[TableLine],
    names: MethodNames,
    source: str,
    notes: Sequence[str],
    marks: Marks,
) -> Table:
    order, changed = [], []
    cells = [row for line in lines for row in _rows(layout, line, marks)]
    if layout.compares_methods:
        order = order_notes(*_orders(layout, lines), part.data)
        changed = [_SETTINGS_NOTE] if names.notes else []
    notes = [
        f"Data: {part.data[0]}",
        *notes,
        *marks.notes,
        *order,
        *changed,
        *names.notes,
        *cautions(_named(layout, lines)),
    ]
    return Table(
        f"{layout.title}: {source} ({layout.place} paper: {DATA})",
        [
            *(["Method", "Metric"] if layout.blocks[0][0].heading else ["Method"]),
            *(
                f"{layout.tasks[task]} {column.heading}".strip()
                for task in layout.tasks
                for column in layout.columns[task]
            ),
        ],
        cells,
        tuple(layout.tasks.values()) if layout.is_grouped else (),
        (*layout.notes, *notes),
    )


def _named(layout: TableLayout, lines: Sequence[TableLine]) -> list[tuple[str, Sequence[Run]]]:
    """The groups of runs of a table, by their names in notes."""
    return [
        (_called(layout, line, task, runs), runs)
        for line in lines
        for task, groups in line.variants.items()
        for runs in groups
    ]


def shown_of(tasks: Mapping[str, str], lines: Sequence[TableLine]) -> Shown:
    """The groups of runs of some lines with their task, its heading and the name of their method."""
    return [
        (task, tasks[task], line.name.text, runs)
        for line in lines
        for task, groups in line.variants.items()
        for runs in groups
    ]


def lines_of(
    tasks: Mapping[str, str], groups: Sequence[list[Run]], names: MethodNames, *, lists_absent: bool = False
) -> list[TableLine]:
    """The lines of a table, in the order of the paper, and for `lists_absent` also the methods without a run.

    Each group of runs is shown as one: the seeds of a method, or a candidate.
    """
    lines: dict[str, TableLine] = {}
    for runs in sorted(groups, key=lambda runs: place_of(runs[0])):
        name = names.name(runs[0])
        empty = TableLine(name, paper_method(runs[0]), {task: [] for task in tasks})
        lines.setdefault(name.value, empty).variants[str(runs[0].task["name"])].append(runs)
    known = {line.method for line in lines.values()}
    order = list(dict.fromkeys(method for task in tasks for method in published.networks(task)))
    absent = [TableLine(Value(name, name), name, {task: [] for task in tasks}) for name in order if name not in known]
    places = {method: place for place, method in enumerate(order)}
    found = [*lines.values(), *(absent if lists_absent else [])]
    return sorted(found, key=lambda line: places.get(line.method or "", len(places)))


def _rows(layout: TableLayout, line: TableLine, marks: Marks) -> Iterator[Cells]:
    together: list[tuple[list[Run] | None, ...]] = list(zip_longest(*line.variants.values()))
    if not together and layout.place == "columns":
        together = [(None,) * len(line.variants)]
    for block in layout.blocks:
        for variants in together:
            for row in block:
                if not row.is_published:
                    yield _row(layout, line, row, dict(zip(line.variants, variants, strict=True)), marks)
        for row in block:
            if row.is_published and line.method is not None:
                yield _row(layout, line, row, {}, marks)


def _row(
    layout: TableLayout, line: TableLine, row: Row, variants: Mapping[str, Sequence[Run] | None], marks: Marks
) -> Cells:
    name = Value(line.method, line.method) if row.is_published and line.method else line.name
    known = [runs for runs in variants.values() if runs]
    if len(layout.tasks) == 1 and known:
        name = _with_probability(name, {"method": name.value}, known[0])
    cells = [
        _cell(layout, line, row, column, task, variants.get(task), marks)
        for task in layout.tasks
        for column in layout.columns[task]
    ]
    return [name, *([row.heading] if row.heading else []), *cells]


def _cell(
    layout: TableLayout, line: TableLine, row: Row, column: Column, task: str, runs: Sequence[Run] | None, marks: Marks
) -> Value | str:
    metric = row.metric + column.metric
    if row.is_published or column.show == "paper":
        return _published(task, line.method, metric.removesuffix("_mean"), column)
    if runs is None:
        return MISSING
    if column.show == "candidate":
        summary = runs[0].summary
        return _candidate(summary["learning_rate"], summary["batch_size"], [run.summary["seed"] for run in runs])
    class_ = "" if column.class_ is None else runs[0].classes[column.class_]
    key = Key(row.split, metric, class_)
    values = values_of(runs, key)
    if not values:
        return MISSING
    if column.show == "mean":
        return mean_of(values)
    score = mean_and_deviation(values)
    score = Value(score.text, {**score.value, "seeds": [run.summary["seed"] for run in runs]})
    score = marks.cell(score, runs, key)
    if column is layout.columns[task][0] and len(layout.tasks) > 1:
        return _with_probability(score, score.value, runs)
    return score


def _published(task: str, method: str | None, metric: str, column: Column) -> Value:
    if column.show == "candidate":
        rate, batch = (published.score(task, method, key) for key in ("learning_rate", "batch_size"))
        return MISSING if rate is None or batch is None else _candidate(rate.mean, int(batch.mean), None)
    found = published.score(task, method, metric, "" if column.class_ is None else column.heading)
    if found is None:
        return MISSING
    return number(found.mean, 2) if column.show == "mean" else found.cell


def _candidate(learning_rate: float, batch_size: int, seeds: Sequence[int] | None) -> Value:
    value = {"learning_rate": learning_rate, "batch_size": batch_size, "seeds": seeds}
    return Value(f"{learning_rate:g}/{batch_size}", value)


def _with_probability(cell: Value, value: Mapping[str, object], runs: Sequence[Run]) -> Value:
    """A cell with the probability of mixup behind it, for runs that have one; in JSON beside `value`."""
    probability = mixup_of(runs[0])
    if probability is None:
        return cell
    return Value(f"{cell.text} (p {probability:g})", {**value, "mixup_probability": probability})


def _called(layout: TableLayout, line: TableLine, task: str, runs: Sequence[Run]) -> str:
    """The name of a method's seeds of one task in notes."""
    shown = [column for column in layout.columns[task] if column.show == "candidate"]
    candidate = [f"{runs[0].summary['learning_rate']:g}/{runs[0].summary['batch_size']}"] if shown else []
    return " ".join(filter(None, (line.name.text, layout.tasks[task] or "R2", *candidate)))


def _seeds(named: Sequence[tuple[str, Sequence[Run]]], every: Seeds) -> str:
    """Note on the number of seeds of each mean, and how many there should be."""
    found = {name: every.told(runs) for name, runs in named}
    if len(set(found.values())) == 1:
        return f"Seeds: {next(iter(found.values()))} each."
    return f"Seeds: {'; '.join(f'{name}: {seeds}' for name, seeds in found.items())}."


def points_of(layout: TableLayout, lines: Sequence[TableLine]) -> list[Point]:
    """Our values and the paper's, panel by panel; of several variants of a method the first with a value."""
    points = []
    for panel, task, column in layout.panels:
        for place, line in enumerate(lines):
            for row in layout.blocks[0]:
                key = Key(row.split, row.metric + column.metric)
                found = [values for seeds in line.variants[task] if (values := values_of(seeds, key))]
                if found and not row.is_published:
                    spread = mean_and_deviation(found[0]).value
                    points.append(Point(panel, place, row.heading or "ours", spread["mean"], spread["std"]))
            paper = published.score(task, line.method, column.metric)
            if paper is not None:
                points.append(Point(panel, place, "paper", paper.mean, paper.std))
    return points


def _orders(
    layout: TableLayout, lines: Sequence[TableLine]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Panel -> method -> our mean in the first row, and the paper's value."""
    ours: dict[str, dict[str, float]] = {panel.heading: {} for panel in layout.panels}
    theirs: dict[str, dict[str, float]] = {panel.heading: {} for panel in layout.panels}
    for point in points_of(layout, lines):
        method = lines[point.line].method
        if method is not None and point.kind in ("paper", layout.blocks[0][0].heading or "ours"):
            # A method with the paper's settings comes before one with others.
            (theirs if point.kind == "paper" else ours)[point.panel].setdefault(method, point.mean)
    return ours, theirs
