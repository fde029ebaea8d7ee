import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.data.resident import ResidentSplit, parts
from tests.engine.data import arrays


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 3 * 10**6))
def test_parts_are_adjacent_and_small(start: int, count: int, voxels: int) -> None:
    found = list(parts(start, start + count, voxels))
    assert [index for part in found for index in range(*part)] == list(range(start, start + count))
    assert all(last - first <= 32 for first, last in found)
    assert all(last - first == 1 or (last - first) * voxels <= 32 * 256 * 256 for first, last in found)


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
