import pytest
import torch

from mtneuro_ray.models.placement import autocast
from tests.settings import network_settings

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


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
