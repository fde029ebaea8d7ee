from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import ndimage

import mtneuro_ray
from mtneuro_ray.data import predictions
from mtneuro_ray.data.mosaic import Mosaic
from mtneuro_ray.errors import InputError
from mtneuro_ray.results.tissue import measure as module
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes import phantom
from mtneuro_ray.volumes.phantom.objects import cell_solids
from mtneuro_ray.volumes.phantom.solids import covered
from tests.volumes.writers import OFFSET, write_precomputed

SHAPE = (20, 30, 40)
CLASSES = {"vessels": 1, "cells": 2}
ALL = np.ones((3, 3, 3), bool)
PHANTOM = "phantom://thalamocortical/pixel_labels?seed=0"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", (8, 16, 16))


@pytest.fixture
def labels(tmp_path: Path) -> np.ndarray:
    """Random blobs: 0 background, 1 vessels, 2 cells, 7 of no class, 9 ignored; in labels.npy."""
    random = np.random.default_rng(5)
    smooth = ndimage.gaussian_filter(random.normal(size=(2, *SHAPE)), (0, 1.5, 1.5, 1.5))
    labels = np.zeros(SHAPE, np.uint8)
    labels[smooth[0] > 0.12] = 2
    labels[smooth[1] > 0.12] = 1
    labels[:2, :5] = 7
    labels[-1] = 9
    np.save(tmp_path / "labels.npy", labels)
    regions = np.full(SHAPE, 4, np.uint16)
    regions[:, :, 17:] = 3
    np.save(tmp_path / "regions.npy", regions)
    return labels


def test_numbers_are_those_of_the_whole_volume(labels: np.ndarray, tmp_path: Path) -> None:
    found = mtneuro_ray.measure(
        f"file:{tmp_path}/labels.npy", classes=CLASSES, ignore=[9], voxel_size_um=(4.0, 2.0, 1.0), min_voxels=4
    )
    [row] = found.boxes
    measured = labels != 9
    assert (row["voxels"], row["ignored"]) == (measured.sum(), (~measured).sum())
    assert row["unlisted"] == np.isin(labels, (0, 7)).sum()
    assert row["mm3"] == pytest.approx(measured.sum() * 8e-9)
    for name, label in CLASSES.items():
        count = int((labels == label).sum())
        expected = {"voxels": count, "share": count / measured.sum(), "um3": 8.0 * count}
        assert row["classes"][name] == pytest.approx(expected)
    numbered, count = ndimage.label(labels == 2, ALL)
    sizes = np.bincount(numbered.ravel())[1:]
    cells = row["components"]["cells"]
    assert count > 10
    assert (cells["count"], cells["smaller"]) == ((sizes >= 4).sum(), (sizes < 4).sum())
    assert cells["voxels"]["p50"] == np.median(sizes[sizes >= 4])
    assert cells["um3"]["mean"] == pytest.approx(8 * sizes[sizes >= 4].mean())
    assert cells["per_mm3"] == pytest.approx(cells["count"] / row["mm3"])
    length = row["length"]["vessels"]
    assert length["mm_per_mm3"] == pytest.approx(length["um"] / 1e3 / row["mm3"])
    radius = length["mean_diameter_um"] / 2
    assert math.pi * radius**2 * length["um"] == pytest.approx(row["classes"]["vessels"]["um3"])
    assert found.regions == []
    assert found.notes == ["some voxels have labels of no class: 7"]

    table = found.to_pandas()
    assert table["label"].tolist() == (np.flatnonzero(sizes >= 4) + 1).tolist()
    centres = np.array(ndimage.center_of_mass(numbered > 0, numbered, table["label"]))
    np.testing.assert_allclose(table[["z", "y", "x"]], centres)
    np.testing.assert_allclose(table[["z_um", "y_um", "x_um"]], centres * (4, 2, 1))
    np.testing.assert_allclose(table["volume_um3"], 8.0 * table["voxels"])


def test_regions_and_boxes_add_up(labels: np.ndarray, tmp_path: Path) -> None:
    options = {"classes": CLASSES, "regions": f"file:{tmp_path}/regions.npy", "region_names": {3: "R"}}
    boxes = [Roi((0, 20), (0, 13), (0, 40)), Roi((0, 20), (13, 30), (0, 40))]
    found = mtneuro_ray.measure(f"file:{tmp_path}/labels.npy", boxes=boxes, **options)  # type: ignore[arg-type]
    assert [row["box"] for row in found.boxes] == ["0:20,0:13,0:40", "0:20,13:30,0:40"]
    assert sorted(row["region"] for row in found.regions) == ["4", "R"]
    for key in ("voxels", "unlisted"):
        assert sum(row[key] for row in found.regions) == sum(row[key] for row in found.boxes)
    for rows in (found.boxes, found.regions):
        assert sum(row["classes"]["cells"]["voxels"] for row in rows) == (labels == 2).sum()
    both = [sum(row["components"]["cells"]["count"] for row in rows) for rows in (found.boxes, found.regions)]
    assert both[0] == both[1] == sum(ndimage.label(labels[box.slices] == 2, ALL)[1] for box in boxes)
    lengths = [sum(row["length"]["vessels"]["voxels"] for row in rows) for rows in (found.boxes, found.regions)]
    assert lengths[0] == pytest.approx(lengths[1])
    [right] = [row for row in found.regions if row["region"] == "R"]
    assert right["classes"]["vessels"]["voxels"] == (labels[:, :, 17:] == 1).sum()
    assert "mm3" in right
    assert right["mm3"] is None
    assert found.notes[0].startswith("nothing says how large a voxel is (--voxel-size)")
    assert "z_um" not in found.to_pandas()

    twice = mtneuro_ray.measure(f"file:{tmp_path}/labels.npy", boxes=[boxes[0], boxes[0]], **options)  # type: ignore[arg-type]
    assert twice.boxes[0] == twice.boxes[1]
    assert twice.regions == []
    assert "boxes overlap, so there are no sums over boxes" in twice.notes


def test_blocks_do_not_show(labels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def counts() -> list[object]:
        found = mtneuro_ray.measure(f"file:{tmp_path}/labels.npy", classes=CLASSES, count=["vessels", "cells"])
        [row] = found.boxes
        return [row["classes"], row["components"], found.to_arrow().to_pydict()]

    cut = counts()
    monkeypatch.setattr(module, "BLOCK", (64, 64, 64))
    assert counts() == cut


def test_a_volume_that_does_not_begin_at_0_is_measured_where_it_lies(labels: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "pre").mkdir()
    moved = write_precomputed(tmp_path / "pre", labels)
    found, plain = (
        mtneuro_ray.measure(uri, classes=CLASSES, ignore=[9], voxel_size_um=(4.0, 2.0, 1.0))
        for uri in (moved, f"file:{tmp_path}/labels.npy")
    )
    [row], [truth] = found.boxes, plain.boxes
    assert row["box"] == ",".join(f"{low}:{low + side}" for low, side in zip(OFFSET, SHAPE, strict=True))
    for key in ("classes", "components", "length"):
        assert row[key] == truth[key]
    there, here = (each.to_pandas()[["z", "y", "x"]].to_numpy() for each in (found, plain))
    np.testing.assert_allclose(there, here + OFFSET)


def test_predictions_of_a_run_name_their_classes_size_and_regions(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 8), np.uint8)
    pixels[1, 2:4, 3:5] = 1
    pixels[0] = 255
    cube = Mosaic("CTX", (10, 20, 40), (1, 2, 2), pixels)
    made = predictions.Predictions("abc", "net", "small", "test", ("bg", "cells"), ("image", "labels"), 0.5, (cube,))
    predictions.write(Folder(tmp_path / "abc.zarr"), made)
    for uri in (f"{tmp_path}/abc.zarr", f"zarr://{tmp_path}/abc.zarr"):
        found = mtneuro_ray.measure(uri)
        [row] = found.boxes
        assert (row["box"], row["region"]) == ("10:14,20:32,40:56", "CTX")
        assert (row["voxels"], row["ignored"], row["unlisted"]) == (3 * 48, 48, 0)
        # A pixel is 1 x 2 x 2 voxels of 0.5 um.
        assert row["components"]["cells"]["um3"]["mean"] == pytest.approx(4 * 4 * 0.125)
        assert found.regions[0]["components"] == row["components"]
        [cell] = found.to_arrow().to_pylist()
        assert [cell[axis] for axis in "zyx"] == [11, 25.5, 47.5]
        assert [cell[f"{axis}_um"] for axis in "zyx"] == [5.5, 12.75, 23.75]
        assert (cell["region"], cell["voxels"], cell["at_border"]) == ("CTX", 4, False)
    part = mtneuro_ray.measure(str(tmp_path / "abc.zarr"), boxes=[Roi((11, 12), (24, 28), (46, 48))])
    assert part.boxes[0]["classes"]["cells"]["voxels"] == part.boxes[0]["voxels"] == 2
    with pytest.raises(InputError, match="box 0:1,0:1,0:1 leaves it; accepted: a box within 10:14,20:32,40:56"):
        mtneuro_ray.measure(str(tmp_path / "abc.zarr"), boxes=[Roi((0, 1), (0, 1), (0, 1))])


def test_the_phantoms_cells_are_found() -> None:
    box = Roi.at((300, 900, 4600), (48, 96, 96))
    found = mtneuro_ray.measure(PHANTOM, classes={"vessels": 1, "cells": 2}, boxes=[box])
    labels = phantom.open_phantom(PHANTOM, Path()).read(box)
    solids = cell_solids(0, box.ranges)
    drawn, sizes = np.zeros(box.num_voxels, np.int64), np.zeros(len(solids.reach), np.int64)
    for number, index, _ in covered(solids, box.ranges):
        np.add.at(drawn, index, 1)
        np.add.at(sizes, number, 1)
    # Vessels are drawn over cells; all else that is a cell is one of the truth's, and the reverse.
    np.testing.assert_array_equal((drawn.reshape(box.shape) > 0) & (labels != 1), labels == 2)

    # A component alone is a cell of the truth: its centre, its voxels.
    table = found.to_pandas()
    table = table[~table["at_border"]]
    centres = solids.centre.T
    distance = np.linalg.norm(table[["z", "y", "x"]].to_numpy()[:, None] - centres, axis=2)
    nearest = distance.argmin(axis=1)
    alone = (sizes[nearest] == table["voxels"]) & (distance.min(axis=1) < 0.5)
    assert alone.mean() > 0.6
    # Cells that touch are one component: the count lies below the truth.
    row = found.boxes[0]["components"]["cells"]
    truth = len(phantom.cell_centres(0, box))
    assert 0.7 * truth < row["count"] - row["at_border"] / 2 < truth


def test_components_are_written_as_parquet(labels: np.ndarray, tmp_path: Path) -> None:
    found = mtneuro_ray.measure(f"file:{tmp_path}/labels.npy", classes=CLASSES)
    found.write_components(tmp_path / "new" / "cells.parquet")
    table = pq.read_table(tmp_path / "new" / "cells.parquet")
    assert table.equals(found.to_arrow())
    about = json.loads(table.schema.metadata[b"mtneuro_ray"])
    assert (about["connectivity"], about["classes"]) == (26, CLASSES)
    none = mtneuro_ray.measure(f"file:{tmp_path}/labels.npy", classes={"other": 7})
    assert none.to_arrow().column_names == table.column_names
    assert "no class is counted or has its length measured (--count, --length)" in none.notes


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "--classes: is missing, nothing in the volume names them; accepted: NAME=LABEL"),
        ({"classes": {"a": 1, "b": 1}}, "--classes: label 1 of 'a' has another class or is ignored"),
        ({"classes": CLASSES, "count": ["cell"]}, "--count: 'cell' is no class; did you mean 'cells'"),
        ({"classes": CLASSES, "boxes": [Roi((0, 21), (0, 1), (0, 1))]}, "box 0:21,0:1,0:1 leaves it"),
        ({"classes": CLASSES, "regions": PHANTOM}, "--regions: is 720 x 1420 x 5805 voxels, file:"),
        ({"classes": CLASSES, "task": "task2_2D_3class"}, "leaves it; accepted: a box within 0:20,0:30,0:40"),
    ],
)
def test_bad_arguments_are_one_line(options: dict[str, object], text: str, labels: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        mtneuro_ray.measure(f"file:{tmp_path}/labels.npy", **options)  # type: ignore[arg-type]
    assert text in str(caught.value)


def test_what_is_no_label_volume_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.zarr").mkdir()
    with pytest.raises(InputError, match=r"x.zarr: holds no predictions; accepted: .* zarr://FOLDER"):
        mtneuro_ray.measure(str(tmp_path / "x.zarr"))


def test_the_cubes_of_a_task_are_boxes_with_regions(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.ones(SHAPE, np.uint8))
    cubes = [
        {"region": region, "split": split, "z": z, "y": [0, 16], "x": [0, 16]}
        for region, split, z in (("A", "train", [0, 8]), ("A", "val", [8, 10]), ("B", "test", [10, 20]))
    ]
    task = {
        "name": "t",
        "task": "segmentation",
        "image_chan": "file:i.npy",
        "annotation_chan": "file:labels.npy",
        "classes": ["bg", "fg"],
        "tile_size": [16, 16],
        "cubes": cubes,
    }
    (tmp_path / "task.json").write_text(json.dumps(task))
    found = mtneuro_ray.measure(
        f"file:{tmp_path}/labels.npy", classes={"bg": 0, "fg": 1}, task=str(tmp_path / "task.json")
    )
    assert [(row["region"], row["voxels"]) for row in found.boxes] == [("A", 2048), ("A", 512), ("B", 2560)]
    assert [(row["region"], row["classes"]["fg"]["voxels"]) for row in found.regions] == [("A", 2560), ("B", 2560)]
    assert "no voxel is bg (label 0)" in found.notes
