import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mtneuro_ray.engine.batches import ResidentSplit, epoch_order, global_batches

from mtneuro_ray.data.context import WorkerContext
from tests.engine.data import arrays

seeds = st.integers(0, 2**32 - 1)


@given(st.integers(1, 300), seeds, st.integers(0, 500))
def test_an_epoch_s_order_is_every_image_once_and_repeatable(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed, epoch)
    assert sorted(order.tolist()) == list(range(count))
    np.testing.assert_array_equal(order, epoch_order(count, seed, epoch))


def test_orders_differ_between_seeds_and_epochs() -> None:
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_an_epoch_s_order_is_what_it_was() -> None:
    assert epoch_order(8, 1, 2).tolist() == [7, 0, 5, 4, 6, 2, 3, 1]


def test_an_epoch_s_order_does_not_touch_other_streams() -> None:
    np.random.seed(0)
    torch.manual_seed(0)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    epoch_order(20, 0, 0)
    after = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    assert before == after


@given(st.integers(1, 60), st.integers(1, 70))
def test_batches_are_the_order_in_parts_of_which_only_the_last_differs_in_size(count: int, size: int) -> None:
    batches = global_batches(epoch_order(count, 0, 0), size)
    assert np.concatenate(batches).tolist() == epoch_order(count, 0, 0).tolist()
    assert all(len(batch) == size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= size + 1


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(7, 3, [3, 4]), (8, 3, [3, 3, 2]), (3, 2, [3]), (1, 2, [1]), (3, 1, [1, 1, 1]), (6, 3, [3, 3])],
)
def test_a_single_image_that_is_left_joins_the_batch_before(count: int, size: int, lengths: list[int]) -> None:
    assert [len(batch) for batch in global_batches(epoch_order(count, 0, 0), size)] == lengths


@given(st.integers(0, 40), st.integers(1, 9))
def test_the_shares_of_all_workers_are_adjacent_complete_and_even(count: int, workers: int) -> None:
    shares = [WorkerContext(rank=rank, world_size=workers).share_of(count) for rank in range(workers)]
    assert [index for start, stop in shares for index in range(start, stop)] == list(range(count))
    sizes = [stop - start for start, stop in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("masks", [True, False])
def test_a_resident_split_hands_out_the_images_that_are_asked_for(masks: bool) -> None:
    split = arrays(6, 0, masks=masks)
    resident = ResidentSplit(split, torch.device("cpu"))
    indices = np.array([4, 0, 5], np.int64)
    gathered, part = resident.gather(indices), resident.part(2, 4)
    assert (len(resident), len(gathered), len(part)) == (6, 3, 2)
    np.testing.assert_array_equal(gathered.images.numpy(), split.images[indices])
    np.testing.assert_array_equal(part.labels.numpy(), split.labels[2:4])
    if masks:
        assert gathered.masks is not None
        assert split.masks is not None
        np.testing.assert_array_equal(gathered.masks.numpy(), split.masks[indices])
    else:
        assert gathered.masks is None


def test_arrays_that_cannot_be_written_to_are_taken_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    split = arrays(2, 0, masks=True)
    for array in (split.images, split.masks, split.labels):
        assert array is not None
        array.setflags(write=False)
    ResidentSplit(split, torch.device("cpu"))
    assert recwarn.list == []
