"""Where scores come from: which classes the data hold, how each region fares, which class is taken for which."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from mtneuro_ray.config.task import SPLITS
from mtneuro_ray.results import paper
from mtneuro_ray.results.benchmark import MethodNames, setting_of
from mtneuro_ray.results.methods import by_method
from mtneuro_ray.results.scores import METHOD_COLUMNS, Group, groups_of, method_cells, segmentation_scores
from mtneuro_ray.results.tables import MISSING, Table, Value, count, number
from mtneuro_ray.storage.records import RunRecord

_ABSENT = "A class that neither truth nor prediction has scores 1: in a region (dataset), or in an image (image)."
_MATRIX = "Rows: truth. Columns: prediction. Sums over the seeds."
# Region -> voxels of each class.
_Counts = Mapping[str, Sequence[int]]


def proportion_tables(records: Sequence[RunRecord]) -> list[Table]:
    """Class proportions of what was trained and evaluated on, a table per segmentation setting and data.

    Those of the benchmark's Task 2 have the paper's beside them (Appendix 4.2.3).
    """
    tables: list[Table] = []
    for group, runs in groups_of(records):
        # Seeds and methods of one task count the same voxels.
        distinct = {json.dumps([run.settings["data"], run.class_counts]): run for run in runs if run.class_counts}
        tables.extend(_proportion_table(group, run) for run in distinct.values())
    return tables


def _proportion_table(group: Group, record: RunRecord) -> Table:
    splits: dict[str, _Counts] = {split: record.class_counts[split] for split in SPLITS if split in record.class_counts}
    regions = list(dict.fromkeys(region for counts in splits.values() for region in counts))
    splits["all"] = _together(list(splits.values()), regions)
    published = _published(record, regions)
    rows: list[list[Value | str]] = []
    for region in (*regions, paper.TOTAL):
        for split, counts in splits.items():
            if region == paper.TOTAL:
                rows.append([region, split, *_shares_and_sum(_sum(list(counts.values())))])
            elif region in counts:
                rows.append([region, split, *_shares_and_sum(counts[region])])
        if region in published:
            rows.append([region, "paper", *(number(value, 2) for value in published[region]), MISSING])
    notes = [f"Data: {record.settings['data'][-1]}"]
    if published:
        notes.append(f"Rows paper: {paper.DATA}, Appendix 4.2.3, whole cubes.")
    if published and len(regions) < len(paper.PROPORTIONS) - 1:
        notes.append(f"The paper's total is of four regions; here it is the mean of its rows of {', '.join(regions)}.")
    if published and len(group.classes) == 3:
        notes.append(f"The paper's {group.classes[0]} is its background and axons added up.")
    title = f"Class proportions, % of voxels: {group.source}"
    return Table(title, ["Region", "Split", *group.classes, "Voxels"], rows, notes=tuple(notes))


def _together(splits: Sequence[_Counts], regions: Sequence[str]) -> _Counts:
    return {region: _sum([counts[region] for counts in splits if region in counts]) for region in regions}


def _sum(counts: Sequence[Sequence[int]]) -> list[int]:
    return [sum(values) for values in zip(*counts, strict=True)]


def _published(record: RunRecord, regions: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """The paper's proportions of these regions, or none where it has not all of them."""
    setting = setting_of(record)
    if setting is None or not set(regions) <= paper.PROPORTIONS.keys():
        return {}
    return paper.proportions(regions, setting[1])


def _shares_and_sum(counts: Sequence[int]) -> list[Value]:
    return [*_shares(counts, 2), count(sum(counts))]


def _shares(counts: Sequence[int], digits: int) -> list[Value]:
    """% of each count."""
    total = sum(counts)
    return [number(100 * value / total, digits) if total else MISSING for value in counts]


def region_tables(records: Sequence[RunRecord]) -> list[Table]:
    """F1 and IoU of each region by itself, in both reductions, a table per segmentation setting."""
    tables = []
    for group, runs in groups_of(records):
        if group.kind == "segmentation":
            names, measured = MethodNames(), [run for run in runs if run.metrics["test"].get("regions")]
            rows = [row for seeds in by_method(measured) for row in _region_rows(seeds, names)]
            columns = [*METHOD_COLUMNS, "Region", "Images", "Metric", *group.classes, "Avg."]
            notes = (_ABSENT, *_left_out(len(runs) - len(measured)), *names.notes)
            tables.append(Table(f"By region: {group.title}", columns, rows, notes=notes))
    return tables


def _left_out(count: int) -> list[str]:
    return [f"Left out: {count} runs whose files are older and have no such values."] if count else []


def _region_rows(runs: Sequence[RunRecord], names: MethodNames) -> Iterator[list[Value | str]]:
    regions = [run.metrics["test"]["regions"] for run in runs]
    for region, first in regions[0].items():
        for scores in segmentation_scores([values[region] for values in regions]):
            yield [*method_cells(runs, names), region, count(int(first["images"])), *scores]


def confusion_tables(records: Sequence[RunRecord]) -> list[Table]:
    """Confusion matrices of the test split, summed over the seeds of each method, a table per setting with classes."""
    tables = []
    for group, runs in groups_of(records):
        if group.kind == "readout":
            continue
        names, measured = MethodNames(), [run for run in runs if run.metrics["test"].get("confusion")]
        rows = [row for seeds in by_method(measured) for row in _confusion_rows(group, seeds, names)]
        groups = ("voxels" if group.kind == "segmentation" else "samples", "% of the row")
        columns = [*METHOD_COLUMNS, "Truth", *(f"{unit} {name}" for unit in groups for name in group.classes)]
        notes = (_MATRIX, *_left_out(len(runs) - len(measured)), *names.notes)
        tables.append(Table(f"Confusion matrices: {group.title}", columns, rows, groups, notes))
    return tables


def _confusion_rows(group: Group, runs: Sequence[RunRecord], names: MethodNames) -> Iterator[list[Value | str]]:
    matrices = [run.metrics["test"]["confusion"] for run in runs]
    for truth, rows in zip(group.classes, zip(*matrices, strict=True), strict=True):
        counts = _sum(rows)
        yield [*method_cells(runs, names), truth, *map(count, counts), *_shares(counts, 1)]
