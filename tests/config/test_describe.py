from typing import Annotated, Literal

from pydantic import Field

from mtneuro_ray.config.base import Positive, Settings
from mtneuro_ray.config.describe import keys_of


class Inner(Settings):
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share that
    is kept."""


class Outer(Settings):
    name: str
    mode: Literal["a", "b"] = "a"
    """How."""
    sides: tuple[int, int] | None = None
    names: tuple[str, ...] = ()
    inner: Inner = Inner()
    count: Positive = 3


class Derived(Outer):
    mode: Literal["a", "b"] = "b"
    """How else."""
    flag: bool = False


def key(path: str, kind: str, default: str, meaning: str) -> dict[str, str]:
    return {"key": path, "type": kind, "default": default, "meaning": meaning}


def test_keys_have_types_defaults_and_meanings_in_their_order() -> None:
    assert keys_of(Outer) == [
        key("name", "text", "", ""),
        key("mode", '"a" | "b"', '"a"', "How."),
        key("sides", "[integer, integer] | null", "null", ""),
        key("names", "list of text", "[]", ""),
        key("inner.rate", "number > 0, <= 1", "0.5", "Share that is kept."),
        key("count", "integer >= 1", "3", ""),
    ]


def test_a_derived_type_has_the_keys_of_its_base_and_its_own_words() -> None:
    keys = {row["key"]: row for row in keys_of(Derived, "method.")}
    assert list(keys)[-2:] == ["method.count", "method.flag"]
    assert keys["method.mode"] == key("method.mode", '"a" | "b"', '"b"', "How else.")
    assert keys["method.inner.rate"]["meaning"] == "Share that is kept."
