from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mtneuro_ray.data.ahead import ahead


def test_results_come_in_order_and_one_is_in_work_while_the_caller_has_the_one_before() -> None:
    begun = [threading.Event() for _ in range(4)]

    def work(item: int) -> int:
        begun[item].set()
        return 10 * item

    for item, found in enumerate(ahead(work, range(4))):
        assert found == 10 * item
        # Without a further request.
        assert all(each.wait(10) for each in begun[: item + 2])
        assert not any(each.is_set() for each in begun[item + 2 :])


def test_an_error_comes_in_the_place_of_its_result() -> None:
    def work(item: int) -> int:
        return 6 // item

    def items() -> Iterator[int]:
        yield from (2, 0, 3)

    found = ahead(work, items())
    assert next(found) == 3
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_several_are_in_work_at_once_and_none_is_begun_after_an_error() -> None:
    begun, together = list[int](), threading.Barrier(2)

    def work(item: int) -> int:
        begun.append(item)
        if item < 2:
            together.wait(10)
        return 6 // (item - 1)

    found = ahead(work, range(100), at_once=2)
    assert next(found) == -6
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert len(begun) < 8
