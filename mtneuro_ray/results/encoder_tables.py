"""The paper's Tables 1, A3 and 3 from runs of the benchmark's Tasks 1 and 3, with the paper's values beside ours."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mtneuro_ray.results import paper_encoders as paper
from mtneuro_ray.results.benchmark import MethodNames, place_of
from mtneuro_ray.results.encoders import Part, mixup_of, paper_name, parts_of, setting_of
from mtneuro_ray.results.methods import by_method, finished, network_of
from mtneuro_ray.results.orders import order_notes
from mtneuro_ray.results.paper import DATA
from mtneuro_ray.results.tables import MISSING, Table, Value, mean_and_deviation
from mtneuro_ray.storage.records import RunRecord

_ACCURACIES = {"ours": "accuracy", "ours balanced": "balanced_accuracy"}
# Row -> split of the metrics of a readout.
_FITS = {"R2 (all)": "all", "R2 (held out)": "test"}
_MEANS = "mean +- sample standard deviation (ddof 1) over seeds"
_ACCURACY_NOTES = (
    f"ours: accuracy on the test split, {_MEANS}; p is the probability of mixup. ours balanced: mean of the regions' "
    "recalls. A sample is one of the four corners of an image, but an image where eval_crops is not corners.",
    f"paper: {DATA}, as published.",
)
_READOUT_NOTES = (
    f"Linear regression on the features of frozen encoders, {_MEANS}. Rows (all): fitted and scored on all samples, as "
    "in the paper. Rows (held out): fitted on the train slices, scored on the test slices; the paper has none.",
    f"Rows (paper): {DATA}, as published.",
)
_CHANGES_NOTE = (
    "Changed settings, as --set takes them. Of frozen encoders ssl.* are the encoder's training, all others the linear "
    "layer's."
)


@dataclass(frozen=True, slots=True)
class _Line:
    """A method as the paper's tables place it.

    Attributes:
        name: As it is shown.
        paper_name: As the paper knows it.
        settings: Task -> the groups of seeds that are shown one under the other.
    """

    name: Value
    paper_name: str
    settings: dict[str, list[list[RunRecord]]]


def accuracy_tables(records: Sequence[RunRecord]) -> list[Table]:
    """Tables 1 and A3, one for each data and scale; A3 where another resolution than Table 1's was trained."""
    return [
        _accuracy_table(title, columns, part, runs)
        for title, columns, own in (
            ("Table 1", paper.TABLE_1, paper.TABLE_1.keys()),
            ("Table A3", paper.TABLE_A3, paper.TABLE_A3.keys() - paper.TABLE_1.keys()),
        )
        for part, runs in parts_of(finished(records), columns)
        if any(setting_of(run) in own for run in runs)
    ]


def _accuracy_table(title: str, columns: Mapping[str, str], part: Part, records: Sequence[RunRecord]) -> Table:
    names = MethodNames()
    lines = _lines_of(records, columns, names)
    headings = [f"{group} {column}" for group in columns.values() for column in (*_ACCURACIES, "paper")]
    ours = {group: _means(lines, setting, "test", "accuracy") for setting, group in columns.items()}
    published = {
        group: {method: paper.accuracy(setting, method).mean for method in paper.METHODS}
        for setting, group in columns.items()
    }
    return Table(
        f"{title}, accuracy of region classification: {part.source} (columns paper: {DATA})",
        ["Method", *headings],
        [row for line in lines for row in _accuracy_rows(line)],
        tuple(columns.values()),
        (*_ACCURACY_NOTES, *_notes(part, lines, columns), *order_notes(ours, published, part.data), *_changes(names)),
    )


def _lines_of(records: Sequence[RunRecord], settings: Collection[str], names: MethodNames) -> list[_Line]:
    """The lines of a table in the paper's order, among them the methods that have no run."""
    lines: dict[str, _Line] = {}
    for runs in sorted(by_method(records), key=lambda runs: place_of(runs[0])):
        name = names.name(runs[0])
        empty = _Line(name, paper_name(runs[0]), {setting: [] for setting in settings})
        lines.setdefault(name.value, empty).settings[str(setting_of(runs[0]))].append(runs)
    known = {line.paper_name for line in lines.values()}
    absent = [
        _Line(Value(name, name), name, {setting: [] for setting in settings})
        for name in paper.METHODS
        if name not in known
    ]
    return sorted([*lines.values(), *absent], key=lambda line: paper.METHODS.index(line.paper_name))


def _compared(lines: Sequence[_Line], setting: str) -> dict[str, list[RunRecord]]:
    """Method -> the seeds that stand for it in a setting: as in the paper if any are, else the first that are not."""
    found: dict[str, list[RunRecord]] = {}
    for line in lines:
        for runs in line.settings[setting]:
            found.setdefault(line.paper_name, runs)
    return found


def _accuracy_rows(line: _Line) -> Iterator[list[Value | str]]:
    for together in zip_longest(*line.settings.values()) if any(line.settings.values()) else [()]:
        row: list[Value | str] = [line.name]
        for setting, runs in zip_longest(line.settings, together):
            row.extend([MISSING] * len(_ACCURACIES) if runs is None else _accuracies(runs))
            row.append(_published(paper.accuracy(setting, line.paper_name)))
        yield row


def _accuracies(runs: Sequence[RunRecord]) -> list[Value]:
    accuracy, balanced = (_score(runs, "test", metric) for metric in _ACCURACIES.values())
    return [_with_probability(accuracy, accuracy.value, runs), balanced]


def _with_probability(cell: Value, value: Any, runs: Sequence[RunRecord]) -> Value:
    """A cell that also tells the probability of mixup, of runs that have any; in JSON beside `value`."""
    probability = mixup_of(runs[0])
    if probability is None:
        return cell
    return Value(f"{cell.text} (p {probability:g})", {**value, "mixup_probability": probability})


def _score(runs: Sequence[RunRecord], split: str, metric: str) -> Value:
    """The mean over seeds, for programs also the seeds; an attribute that is the same everywhere has no R2."""
    values = [run.metrics[split][metric] for run in runs if metric in run.metrics[split]]
    if not values:
        return MISSING
    score = mean_and_deviation(values)
    return Value(score.text, {**score.value, "seeds": [run.summary["seed"] for run in runs]})


def _means(lines: Sequence[_Line], setting: str, split: str, metric: str) -> dict[str, float]:
    """Method -> its mean over seeds."""
    found = {name: _score(runs, split, metric) for name, runs in _compared(lines, setting).items()}
    return {name: score.value["mean"] for name, score in found.items() if score is not MISSING}


def _published(score: paper.Score) -> Value:
    deviation = "" if score.std is None else f" +- {score.std:.2f}"
    return Value(f"{score.mean:.2f}{deviation}", {"mean": score.mean, "std": score.std})


def readout_tables(records: Sequence[RunRecord]) -> list[Table]:
    """Table 3, one for each part, data and scale."""
    return [
        _readout_table(setting, part, runs)
        for setting in paper.TABLE_3
        for part, runs in parts_of(finished(records), {setting})
    ]


def _readout_table(setting: str, part: Part, records: Sequence[RunRecord]) -> Table:
    names = MethodNames()
    lines = _lines_of(records, {setting}, names)
    ours = {heading: _means(lines, setting, "all", metric) for metric, heading in paper.READOUTS.items()}
    published = {
        heading: {method: paper.r2(setting, method)[heading].mean for method in paper.METHODS}
        for heading in paper.READOUTS.values()
    }
    return Table(
        f"Table 3, {paper.TABLE_3[setting]}: {part.source} (rows paper: {DATA})",
        ["Method", "Metric", *paper.READOUTS.values()],
        [row for line in lines for row in _readout_rows(line, setting)],
        notes=(
            *_READOUT_NOTES,
            *_notes(part, lines, {setting: "R2"}),
            *order_notes(ours, published, part.data),
            *_changes(names),
        ),
    )


def _readout_rows(line: _Line, setting: str) -> Iterator[list[Value | str]]:
    for runs in line.settings[setting]:
        name = _with_probability(line.name, {"method": line.name.value}, runs)
        for heading, split in _FITS.items():
            yield [name, heading, *(_score(runs, split, metric) for metric in paper.READOUTS)]
    yield [line.paper_name, "R2 (paper)", *map(_published, paper.r2(setting, line.paper_name).values())]


def _notes(part: Part, lines: Sequence[_Line], columns: Mapping[str, str]) -> Iterator[str]:
    """Data, seeds, and the one setting of the paper's that the packaged networks don't have."""
    yield f"Data: {part.data[0]}"
    numbers = {
        f"{line.name.text} {columns[setting]}": len(runs)
        for line in lines
        for setting, groups in line.settings.items()
        for runs in groups
    }
    same = len(set(numbers.values())) == 1
    yield f"Seeds: {next(iter(numbers.values()))} each." if same else f"Seeds: {_listed(numbers)}."
    decays = {
        network_of(runs[0])["optimizer"]["weight_decay"]
        for line in lines
        if line.paper_name in (paper.SUPERVISED, paper.MIXUP)
        for groups in line.settings.values()
        for runs in groups
    }
    if decays - {paper.WEIGHT_DECAY}:
        values = ", ".join(f"{value:g}" for value in sorted(decays))
        yield f"Supervised models have weight decay {values}; the paper's have {paper.WEIGHT_DECAY:g}."


def _changes(names: MethodNames) -> list[str]:
    """What the numbers behind names stand for."""
    return [_CHANGES_NOTE, *names.notes] if names.notes else []


def _listed(values: Mapping[str, int]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in values.items())
