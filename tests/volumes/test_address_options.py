"""Options of addresses: parsed or refused in one line, and written so that they parse to the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.address_options import AddressOptions, with_channel


def test_all_options() -> None:
    place, options = AddressOptions.split("zarr:///data/x.zarr?channel=1&level=s1&voxel_size=4,2,2.5&axes=czyx")
    assert place == "zarr:///data/x.zarr"
    assert options == AddressOptions(channel=1, level="s1", voxel_size_um=(4.0, 2.0, 2.5), axes="czyx")
    assert AddressOptions.split("file:x?target_um=2")[1] == AddressOptions(target_um=(2.0, 2.0, 2.0))


def test_a_question_mark_in_a_file_name_is_no_option() -> None:
    assert AddressOptions.split("file:/data/what?/x.npy") == ("file:/data/what?/x.npy", AddressOptions())
    assert AddressOptions.split("file:/data/what?.npy?channel=2")[0] == "file:/data/what?.npy"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("chanel=1", r"'chanel' is no option of an address; did you mean 'channel'\?; accepted: \?channel=, \?level="),
        ("channel=1&channel=1", "channel: stands twice"),
        ("channel=-1", "channel: '-1'; accepted: a number from 0"),
        ("channel=", "channel: ''"),
        ("level=../x", "level: '../x'; accepted: a number from 0"),
        ("voxel_size=0", "voxel_size: '0'; accepted: micrometers z,y,x above 0"),
        ("voxel_size=1,2", "voxel_size: '1,2'"),
        ("voxel_size=nan,1,1", "voxel_size: "),
        ("axes=zz", "axes: 'zz'; accepted: a letter for each axis"),
        ("axes=ab", "axes: 'ab'"),
        ("level=1&target_um=2", "level, target_um: both select a level"),
    ],
)
def test_what_is_not_accepted_is_one_line(query: str, words: str) -> None:
    with pytest.raises(InputError, match=f"^zarr://x: {words}"):
        AddressOptions.split(f"zarr://x?{query}")


def test_values_of_unknown_options_are_not_shown() -> None:
    with pytest.raises(InputError) as caught:
        AddressOptions.split("zarr://s3://b/x?token=s3cret")
    assert "s3cret" not in str(caught.value)


SIZES = st.tuples(*[st.floats(1e-9, 1e9)] * 3)


@given(
    st.builds(
        AddressOptions,
        channel=st.none() | st.integers(0, 10**8),
        level=st.none()
        | st.integers(0, 99).map(str)
        | st.text("sab09", min_size=1).filter(lambda text: not text.isdecimal()),
        voxel_size_um=st.none() | SIZES,
        axes=st.sampled_from(["", "zyx", "tczyx", "yx"]),
    )
)
def test_what_is_written_parses_to_the_same(options: AddressOptions) -> None:
    assert AddressOptions.split(f"file:/a b/x.npy{options.query}") == ("file:/a b/x.npy", options)


@given(st.text(max_size=40))
def test_any_query_parses_or_is_refused(text: str) -> None:
    try:
        place, options = AddressOptions.split(f"zarr://x?{text}")
    except InputError:
        return
    assert AddressOptions.split(place + options.query) in [(place, options), (place, AddressOptions())]


def test_an_address_names_one_channel() -> None:
    assert with_channel("file:x.npy?axes=czyx", 2) == "file:x.npy?channel=2&axes=czyx"
