"""Tables of final runs outside the paper's tables: scores, scores by region, confusion matrices, class proportions."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from mtneuro_ray.config.task import SPLITS
from mtneuro_ray.results import published
from mtneuro_ray.results.benchmark import MethodNames, family_of
from mtneuro_ray.results.cautions import cautions, confusion_of
from mtneuro_ray.results.compare.marks import Judge, Marks
from mtneuro_ray.results.frame import VOXELS, Key, Run
from mtneuro_ray.results.groups import Group, groups_of
from mtneuro_ray.results.methods import Seeds, by_method
from mtneuro_ray.results.published import DATA, TOTAL
from mtneuro_ray.results.tables import MISSING, Cells, Table, Value, count, mean_and_deviation, mean_of, number
from mtneuro_ray.results.tasks import TaskTable, table_of, unit_of

_ABSENT = {
    "one": "A class that neither truth nor prediction has scores 1: in a region (dataset), or in an image (image).",
    "leave_out": "A class that a region (dataset) or an image (image) does not have has no score there.",
}
_MATRIX = "Rows: truth. Columns: prediction. Sums over the seeds."
# Region -> voxels of each class.
_Counts = Mapping[str, Sequence[int]]


class _Scored:
    """The finished runs of one table of scores, and the columns that all such tables share."""

    def __init__(
        self, group: Group, layout: TaskTable, runs: Sequence[Run], every: Seeds, judge: Judge | None = None
    ) -> None:
        self.classes, self.layout, self.runs = group.classes, layout, runs
        self._marks = Marks(judge, by_method(runs))
        split = f"{next(iter(layout.splits))} split" if len(layout.splits) == 1 else ""
        self.title = ", ".join(filter(None, (group.task, split, group.source)))
        self._every = every

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows_of: Callable[[Sequence[Run]], Iterator[Cells]],
        notes: Sequence[str] = (),
        groups: tuple[str, ...] = (),
    ) -> Table:
        """A table of the rows of each method, behind its name, hyperparameters and number of seeds."""
        names, methods = MethodNames(self.runs), by_method(self.runs)
        rows = [[*self._lead(names, seeds), *row] for seeds in methods for row in rows_of(seeds)]
        named = [(names.name(seeds[0]).text, seeds) for seeds in methods]
        columns = ["Method", "lr", "Batch", "Epochs", "Seeds", *columns]
        return Table(title, columns, rows, groups, (*notes, *self._marks.notes, *names.notes, *cautions(named)))

    def _lead(self, names: MethodNames, seeds: Sequence[Run]) -> list[Value]:
        summary = seeds[0].summary
        rate = Value(f"{summary['learning_rate']:g}", summary["learning_rate"])
        numbers = map(count, (summary["batch_size"], summary["epochs"]))
        return [names.name(seeds[0]), rate, *numbers, Value(self._every.told(seeds), len(seeds))]

    @property
    def columns(self) -> list[str]:
        """Headings of the cells of `rows`."""
        if self.layout.per_class:
            return ["Metric", *self.classes, "Avg."]
        return [*(["Metric"] if len(self.layout.splits) > 1 else []), *self.layout.metrics.values()]

    def rows(self, seeds: Sequence[Run], region: str = "") -> Iterator[Cells]:
        """Scores of a method, by default of whole splits: means per class, and mean with deviation over all."""
        for split, row in self.layout.splits.items():
            keys = {Key(split, metric, "", region): heading for metric, heading in self.layout.metrics.items()}
            if not self.layout.per_class:
                yield [*([row] if len(self.layout.splits) > 1 else []), *(self._average(seeds, key) for key in keys)]
                continue
            for key, heading in keys.items():
                found = [values_of(seeds, key._replace(class_=name)) for name in self.classes]
                means = [mean_of(values) if values else MISSING for values in found]
                yield [" ".join(filter(None, (heading, row))), *means, self._average(seeds, key)]

    def _average(self, seeds: Sequence[Run], key: Key) -> Value:
        """Mean with deviation over the seeds, with a mark if no method is told apart as better."""
        values = seed_values(seeds, key)
        if not values:
            return MISSING
        own = key if values_of(seeds, key) else key._replace(metric=f"{key.metric}_mean")
        return self._marks.cell(mean_and_deviation(values), seeds, own)


def values_of(seeds: Sequence[Run], key: Key) -> list[float]:
    """One value per seed that has the key."""
    return [value for run in seeds if (value := run.value(key)) is not None]


def seed_values(seeds: Sequence[Run], key: Key) -> list[float]:
    """One value per seed over all classes: the metric itself, else METRIC_mean, else the mean over its classes."""
    for metric in (key.metric, f"{key.metric}_mean"):
        values = values_of(seeds, key._replace(metric=metric))
        if values:
            return values
    per_run = [
        [value for name in run.classes for value in values_of([run], key._replace(class_=name))] for run in seeds
    ]
    return [statistics.fmean(values) for values in per_run if values]


def score_tables(runs: Sequence[Run], judge: Judge | None = None) -> list[Table]:
    """A table per task, data and scale; for the benchmark's own tasks only metrics that the paper's tables lack.

    A `judge` marks the methods that are the best of a column, or can't be told apart from it.
    """
    tables, every = [], Seeds(runs)
    for group, own in groups_of(runs):
        layout = table_of(own, only_more=family_of(own[0]) is not None)
        if layout.metrics:
            scored = _Scored(group, layout, own, every, judge)
            tables.append(scored.table(scored.title, scored.columns, scored.rows))
    return tables


def _measured(
    runs: Sequence[Run], is_measured: Callable[[Run, TaskTable], object]
) -> Iterator[tuple[_Scored, list[str]]]:
    """Each table with its measured runs, and a note on the number of other runs."""
    every = Seeds(runs)
    for group, own in groups_of(runs):
        layout = table_of(own)
        measured = [run for run in own if is_measured(run, layout)]
        if measured:
            left = len(own) - len(measured)
            notes = [f"Left out: {left} runs whose files have no such values."] if left else []
            yield _Scored(group, layout, measured, every), notes


def region_tables(runs: Sequence[Run]) -> list[Table]:
    """The scores of each region by itself, a table per task whose regions are measured."""
    return [_region_table(scored, left_out) for scored, left_out in _measured(runs, _regions)]


def _regions(run: Run, layout: TaskTable) -> list[str]:
    """Regions of the test split for which the run has a metric that tables show."""
    return list(dict.fromkeys(key.region for key in run.keys if key.region and key.metric in layout.metrics))


def _region_table(scored: _Scored, left_out: list[str]) -> Table:
    def rows_of(seeds: Sequence[Run]) -> Iterator[Cells]:
        for region in _regions(seeds[0], scored.layout):
            images = seeds[0].value(Key("test", "images", "", region))
            for row in scored.rows(seeds, region):
                yield [region, MISSING if images is None else count(int(images)), *row]

    columns = ["Region", "Images", *scored.columns]
    rules = dict.fromkeys(str(run.task["absent"]) for run in scored.runs)
    notes = [_ABSENT[rule] for rule in rules if rule in _ABSENT]
    return scored.table(f"By region: {scored.title}", columns, rows_of, (*notes, *left_out))


def confusion_tables(runs: Sequence[Run]) -> list[Table]:
    """Confusion matrices of the test split, summed over the seeds of each method, a table per task that has them."""
    measured = _measured(runs, lambda run, layout: confusion_of(run))
    return [_confusion_table(scored, left_out) for scored, left_out in measured]


def _confusion_table(scored: _Scored, left_out: list[str]) -> Table:
    def rows_of(seeds: Sequence[Run]) -> Iterator[Cells]:
        matrices = [matrix for run in seeds if (matrix := confusion_of(run))]
        for truth, rows in zip(scored.classes, zip(*matrices, strict=True), strict=True):
            counts = _sum(rows)
            yield [truth, *map(count, counts), *_shares(counts, 1)]

    groups = (unit_of(scored.runs[0]), "% of the row")
    columns = ["Truth", *(f"{unit} {name}" for unit in groups for name in scored.classes)]
    return scored.table(f"Confusion matrices: {scored.title}", columns, rows_of, (_MATRIX, *left_out), groups)


def proportion_tables(runs: Sequence[Run]) -> list[Table]:
    """Class proportions of the data of final runs, a table per task and data whose voxels were counted.

    Those of the benchmark's own tasks have the paper's beside them (Appendix 4.2.3).
    """
    tables: list[Table] = []
    for group, own in groups_of(runs):
        # Seeds and methods of one task count the same voxels.
        distinct = {(str(counts), run.data): (run, counts) for run in own if (counts := _counts(run))}
        tables += [_proportion_table(group, run, counts) for run, counts in distinct.values()]
    return tables


def _counts(run: Run) -> dict[str, dict[str, list[int]]]:
    """Split -> region -> voxels of each class."""
    found: dict[str, dict[str, list[int]]] = {}
    for key, place in run.keys.items():
        if key.metric == VOXELS:
            found.setdefault(key.split, {}).setdefault(key.region, []).append(int(run.values[place]))
    return {split: found[split] for split in SPLITS if split in found}


def _proportion_table(group: Group, run: Run, counts: Mapping[str, _Counts]) -> Table:
    regions = list(dict.fromkeys(region for own in counts.values() for region in own))
    together = {region: _sum([own[region] for own in counts.values() if region in own]) for region in regions}
    paper = published.proportions(regions, len(group.classes)) if family_of(run) else {}
    rows: list[Cells] = []
    for region in (*regions, TOTAL):
        for split, own in {**counts, "all": together}.items():
            if region in own or region == TOTAL:
                voxels = _sum(list(own.values())) if region == TOTAL else own[region]
                rows.append([region, split, *_shares(voxels, 2), count(sum(voxels))])
        if region in paper:
            rows.append([region, "paper", *(number(value, 2) for value in paper[region]), MISSING])
    notes = [f"Data: {run.data[-1]}"]
    if paper:
        notes.append(f"Rows paper: {DATA}, Appendix 4.2.3, whole cubes.")
    if paper and len(regions) < published.region_count():
        notes.append(f"The paper's total is of four regions; here it is the mean of its rows of {', '.join(regions)}.")
    if paper and len(group.classes) == 3:
        notes.append(f"The paper's {group.classes[0]} is its background and axons added up.")
    title = f"Class proportions, % of voxels: {group.task}, {group.source}"
    return Table(title, ["Region", "Split", *group.classes, "Voxels"], rows, notes=tuple(notes))


def _sum(counts: Sequence[Sequence[int]]) -> list[int]:
    return [sum(values) for values in zip(*counts, strict=True)]


def _shares(counts: Sequence[int], digits: int) -> list[Value]:
    """% of each count."""
    total = sum(counts)
    return [number(100 * value / total, digits) if total else MISSING for value in counts]
