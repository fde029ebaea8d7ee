"""What every refusal has in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mtneuro_ray.errors import InputError


@contextmanager
def refused(*parts: str) -> Iterator[pytest.ExceptionInfo[InputError]]:
    """The body ends in one line that holds these parts in this order and tells what is accepted."""
    with pytest.raises(InputError) as caught:
        yield caught
    text, position = str(caught.value), 0
    assert len(text.splitlines()) == 1
    assert "accepted: " in text or "requires" in text or "required" in text
    for part in parts:
        assert part in text[position:], f"{part!r} is not in {text!r} after {position}"
        position = text.index(part, position) + len(part)
