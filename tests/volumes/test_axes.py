"""Axes: by name in any order, never guessed where they could be others."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.axes import AxisLayout, axis_names

LENGTHS = {"z": 4, "y": 5, "x": 6, "c": 2, "t": 1, "s": 1}


@given(st.permutations("zyxcts"), st.sets(st.sampled_from("zcts")))
def test_every_order_of_named_axes_is_the_same_volume(order: list[str], absent: set[str]) -> None:
    names = [name for name in order if name not in absent]
    lengths = [LENGTHS[name] for name in names]
    layout = AxisLayout.of(axis_names(names, "", lengths, "x"), lengths, "x")
    assert layout.shape == (1 if "z" in absent else 4, 5, 6)
    assert layout.num_channels == (1 if "c" in absent else 2)
    stored = np.arange(math.prod(lengths)).reshape(lengths)
    for channel in range(layout.num_channels):
        ranges = [(0, length) for length in layout.shape]
        voxels = layout.turned(stored[layout.index(ranges, channel)])
        assert voxels.shape == layout.shape
        for z, y, x in itertools.product(*map(range, layout.shape)):
            place = {"z": z, "y": y, "x": x, "c": channel, "t": 0, "s": 0}
            assert voxels[z, y, x] == stored[tuple(place[name] for name in names)]


@pytest.mark.parametrize(
    ("lengths", "reverse", "names"),
    [
        ((5, 6), False, ["y", "x"]),
        ((4, 5, 6), False, ["z", "y", "x"]),
        ((6, 5, 4), True, ["x", "y", "z"]),
        ((1, 1, 4, 5, 6), False, ["", "", "z", "y", "x"]),
        ((6, 5, 4, 1), True, ["x", "y", "z", ""]),
    ],
)
def test_conventions_of_axes_without_names(lengths: tuple[int, ...], reverse: bool, names: list[str]) -> None:
    assert axis_names((), "", lengths, "x", reverse) == names
    assert axis_names([f"dim_{n}" for n in range(len(lengths))], "", lengths, "x", reverse) == names


@pytest.mark.parametrize(
    ("found", "given", "lengths", "words"),
    [
        ((), "", (2, 4, 5, 6), r"4 axes without names \(2 x 4 x 5 x 6\); accepted: .*\?axes=czyx"),
        ((), "", (4, 5, 6, 1), r".*\?axes=czyx"),
        ((), "", (7,), "1 axes; accepted: z, y, x"),
        ((), "zyx", (2, 4, 5, 6), "axes: zyx names 3 of 4 axes"),
        (("y", "x"), "", (4, 5, 6), "3 axes with 2 names"),
        (("x", "y", "z"), "zyx", (4, 5, 6), "axes: zyx, its metadata say x, y, z"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    found: tuple[str, ...], given: str, lengths: tuple[int, ...], words: str
) -> None:
    with pytest.raises(InputError, match=f"^here: {words}"):
        axis_names(found, given, lengths, "here")


def test_foreign_names_can_be_overruled() -> None:
    assert axis_names(("plane", "row", "column"), "zyx", (4, 5, 6), "x") == ["z", "y", "x"]
    with pytest.raises(InputError, match=r"axes plane, row, column; accepted: z, y, x.*\?axes=zyx"):
        AxisLayout.of(axis_names(("plane", "row", "column"), "", (4, 5, 6), "here"), (4, 5, 6), "here")


@pytest.mark.parametrize("names", [("z", "z", "y", "x"), ("z", "y", "c"), ("t", "z", "y", "x")])
def test_axes_that_are_no_volume_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"^here: ax"):
        AxisLayout.of(names, [2] * len(names), "here")
