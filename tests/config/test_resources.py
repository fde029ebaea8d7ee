import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.config.resources import ResourceSettings, bytes_of
from mtneuro_ray.errors import InputError


@pytest.mark.parametrize(
    ("amount", "count"),
    [
        (7, 7),
        ("7", 7),
        ("2GB", 2 * 10**9),
        ("2 GB", 2 * 10**9),
        ("1.5kB", 1500),
        ("1KiB", 1024),
        ("512MiB", 2**29),
        ("4G", 4 * 10**9),
        ("3TB", 3 * 10**12),
    ],
)
def test_an_amount_of_memory_is_a_number_with_or_without_a_unit(amount: int | str, count: int) -> None:
    assert bytes_of(amount, "key") == count
    assert ResourceSettings.load({"memory_budget": amount}, "file").budget_bytes == count


@given(st.one_of(st.text("kMGTB.-+ e", max_size=8), st.integers(max_value=0), st.sampled_from(["nan", "inf", "1e5"])))
def test_anything_else_is_refused_with_its_key(amount: int | str) -> None:
    with pytest.raises(InputError, match=r"^run\.memory_budget: is .*; accepted: a number of bytes"):
        bytes_of(amount, "run.memory_budget")


def test_without_a_budget_the_place_decides() -> None:
    assert ResourceSettings().budget_bytes is None
