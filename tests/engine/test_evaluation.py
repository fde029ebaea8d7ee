import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.engine.evaluation import autocast, parts
from tests.settings import network_settings

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 3 * 10**6))
def test_parts_are_adjacent_and_small(start: int, count: int, voxels: int) -> None:
    found = list(parts(start, start + count, voxels))
    assert [index for part in found for index in range(*part)] == list(range(start, start + count))
    assert all(last - first <= 32 for first, last in found)
    assert all(last - first == 1 or (last - first) * voxels <= 32 * 256 * 256 for first, last in found)


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("auto", "cpu", torch.float32),
        ("bf16", "cpu", torch.bfloat16),
        ("fp32", "cpu", torch.float32),
        pytest.param("auto", "cuda", torch.bfloat16, marks=[pytest.mark.gpu, NO_GPU]),
        pytest.param("fp32", "cuda", torch.float32, marks=[pytest.mark.gpu, NO_GPU]),
    ],
)
def test_the_arithmetic_of_a_precision(precision: str, device: str, expected: torch.dtype) -> None:
    with autocast(network_settings(precision=precision), torch.device(device)):
        square = torch.ones(2, 2, device=device)
        assert (square @ square).dtype == expected
