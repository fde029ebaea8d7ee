import pytest
import torch

from mtneuro_ray.engine.device import is_oom, oom_guard
from mtneuro_ray.errors import OutOfMemoryError


def test_an_allocation_that_really_fails_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_oom(raised.value)
    told = r"^out of memory at batch size 7: .*; accepted: a smaller one$"
    with pytest.raises(OutOfMemoryError, match=told), oom_guard("at batch size 7", "a smaller one"):
        torch.empty(2**62, dtype=torch.uint8)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("not enough memory"), KeyError("a")])
def test_other_errors_pass(error: Exception) -> None:
    assert not is_oom(error)
    with pytest.raises(type(error)), oom_guard("here", "less"):
        raise error


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_python_s_and_torch_s_own_errors_are_out_of_memory(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="out of memory here: "), oom_guard("here", "less"):
        raise error
