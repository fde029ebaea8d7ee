from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.phantom import VERSION
from mtneuro_ray.volumes.source import Voxels, open_volume

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
BIG = Roi((300, 318), (900, 1010), (3100, 3240))


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
        "import hashlib; from mtneuro_ray.volumes.source import open_volume; from mtneuro_ray.roi import Roi;"
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


# Background, vessels, cells and axons of the dense cubes, %: the paper, Appendix 4.2.3.
PAPER = ((93.0, 2.33, 4.64, 0.0), (72.63, 2.5, 5.66, 19.22), (22.75, 4.73, 5.73, 66.8), (32.15, 5.4, 9.41, 53.04))


@pytest.mark.parametrize(("corner", "paper"), list(zip(CUBES["A"], PAPER, strict=True)))
def test_the_dense_cubes_hold_the_classes_in_the_papers_proportions(
    corner: tuple[int, int], paper: tuple[float, ...]
) -> None:
    source = open_volume(BASE + "pixel_labels")
    planes = [source.read(Roi.at((z, *corner), (1, 256, 256))) for z in range(110, 470, 30)]
    counts = np.bincount(np.concatenate(planes).ravel().astype(int))
    shares = 100 * np.pad(counts, (0, 4 - len(counts))) / counts.sum()
    assert len(counts) <= 4
    np.testing.assert_allclose(shares[1:3], paper[1:3], atol=1.5)
    np.testing.assert_allclose(shares[[0, 3]], [paper[0], paper[3]], atol=4)


@pytest.mark.parametrize("corner", CUBES["A"])
def test_what_the_labels_say_can_be_seen(corner: tuple[int, int]) -> None:
    roi = Roi.at((300, *corner), (16, 256, 256))
    image, labels = read("image", roi), read("pixel_labels", roi)
    background, vessels, cells = (image[labels == k].mean() for k in range(3))
    assert vessels < cells < background - 20
    # A grey value alone must not tell the two dark classes apart.
    assert np.percentile(image[labels == 1], 60) > np.percentile(image[labels == 2], 20)
    if (labels == 3).any():
        axons = image[labels == 3]
        assert background + 5 < axons.mean()
        assert np.percentile(axons, 10) < np.percentile(image[labels == 0], 95)


def test_neighbouring_slices_hold_the_same_objects_and_distant_ones_do_not() -> None:
    volume = read("image", Roi.at((300, *CUBES["A"][0]), (11, 256, 256))).astype(float)
    near, far = (np.corrcoef(volume[0].ravel(), volume[k].ravel())[0, 1] for k in (1, 10))
    assert near > 0.7
    assert far < 0.3


def test_grey_values_vary_from_slice_to_slice_and_the_labels_do_not_follow() -> None:
    planes = [(z, Roi.at((z, *CUBES["A"][0]), (1, 128, 128))) for z in range(120, 460, 20)]
    means = np.array([read("image", roi).mean() for _, roi in planes])
    cells = np.array([(read("pixel_labels", roi) == 2).mean() for _, roi in planes])
    assert 3 < means.std() < 20
    assert 0.02 < cells.mean() < 0.08


@pytest.mark.slow
def test_mean_and_deviation_of_an_image_do_not_tell_its_region() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def table(cubes: str, planes: range) -> tuple[list[list[float]], list[int]]:
        rows, truth = [], []
        for label, (y, x) in ((n, corner) for cube in cubes for n, corner in enumerate(CUBES[cube])):
            for z in planes:
                plane = read("image", Roi.at((z, y, x), (1, 256, 256)))[0]
                for tile in (plane[:128, :128], plane[:128, 128:], plane[128:, :128], plane[128:, 128:]):
                    rows.append([float(tile.mean()), float(tile.std())])
                    truth.append(label)
        return rows, truth

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(*table("A", range(110, 379, 12)))
    images, truth = table("CD", range(110, 470, 24))
    assert balanced_accuracy_score(truth, model.predict(images)) < 0.6


def test_outside_the_tissue_there_is_nothing() -> None:
    roi = Roi((300, 304), (0, 32), (100, 200))
    assert not read("roi_labels", roi).any()
    assert not read("pixel_labels", roi).any()
    assert read("image", roi).max() < 40


@pytest.mark.parametrize(
    ("channel", "digest"),
    [
        ("image", "1c7ea9596593de36"),
        ("roi_labels", "27bf754ff1adde78"),
        ("pixel_labels", "2fb32b723c7ccac6"),
    ],
)
def test_the_voxels_of_this_version_have_not_changed(channel: str, digest: str) -> None:
    voxels = read(channel, Roi.at((200, 840, 3040), (6, 96, 160)))
    found = hashlib.sha256(voxels.astype("<u8").tobytes()).hexdigest()[:16]
    assert (VERSION, found) == (4, digest), "raise phantom.VERSION and pin the new checksums"


def test_a_source_is_named_by_its_address_and_version_and_can_be_sent_to_a_worker() -> None:
    source = open_volume(BASE + "image")
    assert source.uri == f"{BASE}image?seed=0"
    assert source.identity == f"{BASE}image?seed=0&version={VERSION}"
    assert open_volume(BASE + "image?seed=7").identity != source.identity
    assert pickle.loads(pickle.dumps(source)).identity == source.identity


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
