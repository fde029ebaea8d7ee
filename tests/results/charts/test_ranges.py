from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.results.charts.ranges import is_wide, thinned


@given(st.integers(0, 500), st.integers(2, 50))
def test_some_of_many_values_evenly_with_the_ends(count: int, most: int) -> None:
    values = list(range(count))
    found = thinned(values, most)
    assert len(found) == min(count, most)
    assert found == sorted(set(found))
    if count:
        assert (found[0], found[-1]) == (values[0], values[-1])
    gaps = [after - before for before, after in itertools.pairwise(found)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_values_far_apart_need_a_logarithmic_scale_unless_one_is_not_above_0() -> None:
    assert is_wide([1.0, 20.1])
    assert not is_wide([1.0, 20.0])
    assert not is_wide([0.0, 20.1])
    assert not is_wide([])
