"""How alike methods are ordered here and in the paper."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mtneuro_ray.results.paper import DATA

# Column -> method -> value.
Values = Mapping[str, Mapping[str, float]]

# Fewer methods have no order worth a number.
_FEWEST = 3


def order_notes(ours: Values, published: Values, data: Sequence[str]) -> list[str]:
    """Spearman's rank correlation over the methods that both have, of each column; none of columns with few methods.

    Args:
        ours: Means over seeds.
        published: The paper's.
        data: Identities of the volumes that ours are of.
    """
    found = []
    for column, values in ours.items():
        pairs = [(value, published[column][method]) for method, value in values.items()]
        correlation = _rank_correlation(pairs)
        if correlation is not None:
            found.append(f"{column} {correlation:.2f} of {len(pairs)}")
    if not found:
        return []
    notes = [f"Order of the methods, ours against the paper's (Spearman's rank correlation): {', '.join(found)}."]
    if data[0].startswith("phantom:"):
        notes.append(f"The phantom is not {DATA}: this compares across data sets, and decides nothing.")
    return notes


def _rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's, or None of too few methods, or of ones that are all alike."""
    if len(pairs) < _FEWEST or any(len(set(values)) == 1 for values in zip(*pairs, strict=True)):
        return None
    # Half a second, which no other table needs.
    from scipy.stats import spearmanr

    correlation = float(spearmanr(*zip(*pairs, strict=True)).statistic)
    return None if math.isnan(correlation) else correlation
