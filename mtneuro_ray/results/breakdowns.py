"""Where scores come from: which classes the data hold, how each region fares, which class is taken for which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mtneuro_ray.config.task import SPLITS
from mtneuro_ray.results import published
from mtneuro_ray.results.benchmark import family_of
from mtneuro_ray.results.cautions import confusion_of
from mtneuro_ray.results.frame import VOXELS, Key, Run
from mtneuro_ray.results.methods import Seeds
from mtneuro_ray.results.published import DATA, TOTAL
from mtneuro_ray.results.scores import METHOD_COLUMNS, Group, Methods, groups_of, score_columns, score_rows
from mtneuro_ray.results.tables import MISSING, Table, Value, count, number
from mtneuro_ray.results.tasks import TaskTable, table_of

_ABSENT = "A class that neither truth nor prediction has scores 1: in a region (dataset), or in an image (image)."
_MATRIX = "Rows: truth. Columns: prediction. Sums over the seeds."
# Region -> voxels of each class.
_Counts = Mapping[str, Sequence[int]]


def proportion_tables(runs: Sequence[Run]) -> list[Table]:
    """Class proportions of what was trained and evaluated on, a table per task and data whose voxels were counted.

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
    splits = {**counts, "all": _together(list(counts.values()), regions)}
    paper = published.proportions(regions, len(group.classes)) if family_of(run) else {}
    rows: list[list[Value | str]] = []
    for region in (*regions, TOTAL):
        for split, own in splits.items():
            if region == TOTAL:
                rows.append([region, split, *_shares_and_sum(_sum(list(own.values())))])
            elif region in own:
                rows.append([region, split, *_shares_and_sum(own[region])])
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


def _together(splits: Sequence[_Counts], regions: Sequence[str]) -> _Counts:
    return {region: _sum([counts[region] for counts in splits if region in counts]) for region in regions}


def _sum(counts: Sequence[Sequence[int]]) -> list[int]:
    return [sum(values) for values in zip(*counts, strict=True)]


def _shares_and_sum(counts: Sequence[int]) -> list[Value]:
    return [*_shares(counts, 2), count(sum(counts))]


def _shares(counts: Sequence[int], digits: int) -> list[Value]:
    """% of each count."""
    total = sum(counts)
    return [number(100 * value / total, digits) if total else MISSING for value in counts]


def region_tables(runs: Sequence[Run]) -> list[Table]:
    """The scores of each region by itself, a table per task whose regions are measured."""
    tables, every = [], Seeds(runs)
    for group, own in groups_of(runs):
        layout = table_of(own)
        measured = [run for run in own if _regions(run, layout)]
        if measured:
            methods = Methods(measured, every)
            rows = [row for seeds in methods.seeds for row in _region_rows(methods, seeds, layout, group)]
            columns = [*METHOD_COLUMNS, "Region", "Images", *score_columns(layout, group.classes)]
            notes = (_ABSENT, *_left_out(len(own) - len(measured)), *methods.notes())
            tables.append(Table(f"By region: {group.title(layout)}", columns, rows, notes=notes))
    return tables


def _regions(run: Run, layout: TaskTable) -> list[str]:
    """Regions of the test split of which the run has a metric that tables show."""
    return list(dict.fromkeys(key.region for key in run.keys if key.region and key.metric in layout.metrics))


def _left_out(count: int) -> list[str]:
    return [f"Left out: {count} runs whose files have no such values."] if count else []


def _region_rows(
    methods: Methods, seeds: Sequence[Run], layout: TaskTable, group: Group
) -> Iterator[list[Value | str]]:
    for region in _regions(seeds[0], layout):
        images = seeds[0].value(Key("test", "images", "", region))
        shown = MISSING if images is None else count(int(images))
        for row in score_rows(layout, group.classes, seeds, region):
            yield [*methods.cells(seeds), region, shown, *row]


def confusion_tables(runs: Sequence[Run]) -> list[Table]:
    """Confusion matrices of the test split, summed over the seeds of each method, a table per task that has them."""
    tables, every = [], Seeds(runs)
    for group, own in groups_of(runs):
        layout = table_of(own)
        measured = [run for run in own if confusion_of(run)]
        if measured:
            methods = Methods(measured, every)
            rows = [row for seeds in methods.seeds for row in _confusion_rows(methods, seeds, group)]
            groups = (layout.unit, "% of the row")
            columns = [*METHOD_COLUMNS, "Truth", *(f"{unit} {name}" for unit in groups for name in group.classes)]
            notes = (_MATRIX, *_left_out(len(own) - len(measured)), *methods.notes())
            tables.append(Table(f"Confusion matrices: {group.title(layout)}", columns, rows, groups, notes))
    return tables


def _confusion_rows(methods: Methods, seeds: Sequence[Run], group: Group) -> Iterator[list[Value | str]]:
    matrices = [matrix for run in seeds if (matrix := confusion_of(run))]
    for truth, rows in zip(group.classes, zip(*matrices, strict=True), strict=True):
        counts = _sum(rows)
        yield [*methods.cells(seeds), truth, *map(count, counts), *_shares(counts, 1)]
