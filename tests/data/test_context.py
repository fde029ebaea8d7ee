from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.data.context import WorkerContext


@given(st.integers(0, 40), st.integers(1, 9))
def test_the_shares_of_all_workers_are_adjacent_complete_and_even(count: int, workers: int) -> None:
    shares = [WorkerContext(rank=rank, world_size=workers).share_of(count) for rank in range(workers)]
    assert [index for start, stop in shares for index in range(start, stop)] == list(range(count))
    sizes = [stop - start for start, stop in shares]
    assert max(sizes) - min(sizes) <= 1
