from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.data.source import Voxels, open_volume
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi

CHANNELS = ("image", "roi_labels", "pixel_labels")
BASE = "phantom://thalamocortical/"
# Lowest corners y, x of the cubes of Tables A1 and A2, and the class that their slices must have.
CUBES = {
    "A": ((900, 4600), (500, 3700), (850, 3063), (650, 1543)),
    "B": ((388, 5312), (912, 3828), (850, 2551), (906, 1287)),
    "C": ((644, 5056), (400, 3344), (950, 2151), (906, 1031)),
    "D": ((400, 4600), (244, 3800), (694, 2295), (650, 1799)),
}
CLASS_OF_LABEL = (0, 0, 1, 2, 2, 3, 3, 3, 1)
BIG = Roi((300, 318), (880, 1010), (3040, 3180))


def read(channel: str, roi: Roi, query: str = "") -> Voxels:
    return open_volume(f"{BASE}{channel}{query}").read(roi)


@pytest.fixture(scope="module")
def big() -> dict[str, Voxels]:
    return {channel: read(channel, BIG) for channel in CHANNELS}


@st.composite
def boxes(draw: st.DrawFn) -> Roi:
    ranges = []
    for lo, hi in BIG.ranges:
        start = draw(st.integers(lo, hi - 1))
        ranges.append((start, draw(st.integers(start + 1, min(hi, start + 40)))))
    return Roi(*ranges)


@settings(max_examples=40, deadline=None)
@given(roi=boxes(), channel=st.sampled_from(CHANNELS))
def test_a_box_is_the_same_part_of_any_larger_box(big: dict[str, Voxels], roi: Roi, channel: str) -> None:
    np.testing.assert_array_equal(read(channel, roi), big[channel][roi.slices_within(BIG)])


@pytest.mark.parametrize("channel", CHANNELS)
def test_planes_stack_to_the_box_across_tiles(channel: str) -> None:
    roi = Roi((60, 70), (700, 900), (2370, 2520))
    planes = [read(channel, Roi((z, z + 1), roi.y, roi.x)) for z in range(*roi.z)]
    np.testing.assert_array_equal(np.concatenate(planes), read(channel, roi))


@pytest.mark.parametrize("corner", [(0, 0, 0), (712, 1404, 5789), (300, 40, 5520)])
@pytest.mark.parametrize("channel", CHANNELS)
def test_the_rim_of_the_volume_can_be_read(channel: str, corner: tuple[int, int, int]) -> None:
    roi = Roi.at(corner, (8, 16, 16))
    z, y, x = ((max(0, lo - 5), hi) for lo, hi in roi.ranges)
    wide = Roi(z, y, x)
    np.testing.assert_array_equal(read(channel, wide)[roi.slices_within(wide)], read(channel, roi))


def test_another_process_reads_the_same_voxels(big: dict[str, Voxels]) -> None:
    code = (
        "import hashlib; from mtneuro_ray.data.source import open_volume; from mtneuro_ray.roi import Roi;"
        f"roi = Roi.parse('{BIG}');"
        f"print([hashlib.sha256(open_volume('{BASE}' + c).read(roi).tobytes()).hexdigest() for c in {CHANNELS}])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str([hashlib.sha256(big[c].tobytes()).hexdigest() for c in CHANNELS])


def test_the_seed_changes_the_tissue_but_not_the_regions(big: dict[str, Voxels]) -> None:
    assert (read("image", BIG, "?seed=1") != big["image"]).mean() > 0.5
    assert (read("pixel_labels", BIG, "?seed=1") != big["pixel_labels"]).mean() > 0.1
    np.testing.assert_array_equal(read("roi_labels", BIG, "?seed=1"), big["roi_labels"])


def test_the_regions_of_every_cube_map_to_its_class() -> None:
    source = open_volume(BASE + "roi_labels")
    for corners in CUBES.values():
        for expected, (y, x) in enumerate(corners):
            for z in (*range(110, 470, 40), 469):
                labels = source.read(Roi.at((z, y, x), (1, 256, 256)))
                assert CLASS_OF_LABEL[int(np.bincount(labels.ravel().astype(int)).argmax())] == expected


@pytest.mark.parametrize(
    ("uri", "accepted"),
    [
        ("phantom://mouse/image", "thalamocortical"),
        ("phantom://thalamocortical/raw", "image, roi_labels, pixel_labels"),
        ("phantom://thalamocortical/image?sede=1", "seed"),
        ("phantom://thalamocortical/image?seed=one", "an integer"),
        ("phantom://thalamocortical/image?seed=", "an integer"),
        ("phantom://thalamocortical/image?seed=-1", "an integer"),
    ],
)
def test_a_wrong_address_is_one_line_that_names_it(uri: str, accepted: str) -> None:
    with pytest.raises(InputError) as caught:
        open_volume(uri)
    message = str(caught.value)
    assert message.startswith(f"{uri}: ")
    assert accepted in message
    assert "\n" not in message
