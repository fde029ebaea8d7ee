"""Notes on the reliability of numbers: data that lack a class, runs that learned nothing, order of methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from mtneuro_ray.results.frame import CONFUSION, VOXELS, Key, Run
from mtneuro_ray.results.published import DATA

# Column -> method -> value.
Values = Mapping[str, Mapping[str, float]]
# Name of a method -> its finished seeds.
Named = Sequence[tuple[str, Sequence[Run]]]

# Smallest number of methods whose order is compared.
_FEWEST = 3


def confusion_of(run: Run) -> list[list[int]] | None:
    """Counts of each true class (rows) by predicted class (columns) of the test split; None if the run has none."""
    classes = run.classes
    rows = [[run.value(Key("test", f"{CONFUSION}/{name}", truth)) for name in classes] for truth in classes]
    known = [[int(value) for value in row if value is not None and math.isfinite(value)] for row in rows]
    return known if all(len(row) == len(classes) for row in known) else None


def cautions(named: Named) -> list[str]:
    """Notes on the methods of one table, given by their names in it and their seeds."""
    runs = [run for _, seeds in named for run in seeds]
    lacking = sorted({f"{split} split: no {name}" for run in runs for split, name in _lacking(run)})
    notes = [f"Classes without data: {'; '.join(lacking)}."] if lacking else []
    ones = _listed(named, lambda run: bool(_scored_one(run)))
    if ones:
        names = ", ".join(sorted({name for run in runs for name in _scored_one(run)}))
        notes.append(f"{names}: in neither truth nor prediction of the test split, which scores 1: {ones}.")
    constant = _listed(named, _is_chance)
    if constant:
        notes.append(f"No better than predicting one class everywhere: {constant}.")
    return notes


def _listed(named: Named, holds: Callable[[Run], bool]) -> str:
    """The methods with seeds that fulfil a condition, and how many seeds if not all do."""
    found = []
    for name, seeds in named:
        number = sum(1 for run in seeds if holds(run))
        if number:
            found.append(name if number == len(seeds) else f"{name} ({number} of {len(seeds)} seeds)")
    return ", ".join(found)


def _lacking(run: Run) -> Iterable[tuple[str, str]]:
    """Pairs of a split and a class that its truth lacks."""
    totals: dict[tuple[str, str], float] = {}
    for key, place in run.keys.items():
        if (key.metric == VOXELS or key.metric.startswith(f"{CONFUSION}/")) and key.class_ in run.classes:
            at = (key.split, key.class_)
            totals[at] = totals.get(at, 0.0) + float(run.values[place])
    return [at for at, total in totals.items() if total == 0]


def _scored_one(run: Run) -> list[str]:
    """Classes that score 1 because neither truth nor prediction of the test split has them."""
    matrix = confusion_of(run)
    if matrix is None:
        return []
    marginals = zip(run.classes, matrix, zip(*matrix, strict=True), strict=True)
    absent = [name for name, row, column in marginals if not any(row) and not any(column)]
    ones = {
        key.class_
        for key, place in run.keys.items()
        if key.split == "test" and not key.region and run.values[place] == 1.0
    }
    return [name for name in absent if name in ones]


def _is_chance(run: Run) -> bool:
    """Whether the mean recall of the test split's classes is not above that of predicting one class."""
    matrix = confusion_of(run)
    if matrix is None:
        return False
    recalls = [row[number] / sum(row) for number, row in enumerate(matrix) if sum(row)]
    return len(recalls) > 1 and math.fsum(recalls) <= 1.0


def order_notes(ours: Values, published: Values, data: Sequence[str]) -> list[str]:
    """Spearman's rank correlation of each column over the methods that both have, for columns with enough methods.

    Args:
        ours: Means over seeds.
        published: The paper's values.
        data: Identities of the volumes behind our values.
    """
    found = []
    for column, values in ours.items():
        pairs = [(value, published[column][method]) for method, value in values.items() if method in published[column]]
        correlation = _rank_correlation(pairs)
        if correlation is not None:
            found.append(f"{column} {correlation:.2f} of {len(pairs)}")
    if not found:
        return []
    text = f"Order of the methods, ours against the paper's (Spearman's rank correlation): {', '.join(found)}."
    return [text, *phantom_note(data)]


def phantom_note(data: Sequence[str]) -> list[str]:
    """A note of caution if the phantom is compared with the paper's data."""
    if not data[0].startswith("phantom:"):
        return []
    return [f"The phantom is not {DATA}: this compares across data sets, and decides nothing."]


def _rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation; None for too few methods, or equal ones."""
    if len(pairs) < _FEWEST or any(len(set(values)) == 1 for values in zip(*pairs, strict=True)):
        return None
    # The import takes half a second, which no other table needs.
    from scipy.stats import spearmanr

    correlation = float(spearmanr(*zip(*pairs, strict=True)).statistic)
    return None if math.isnan(correlation) else correlation
