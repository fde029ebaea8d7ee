"""Volumes of other types than bytes, and of several channels, from files to trained and evaluated runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mtneuro_ray
from mtneuro_ray.cli.main import main
from mtneuro_ray.data import predictions
from mtneuro_ray.data.class_labels import IGNORED
from mtneuro_ray.data.sampling import samples as samples_of
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.predict import predict_run
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.tasks.training.scaling import scale, scaling_of
from tests.settings import task_settings
from tests.tiny import Tiny, write_tiny


def volumes(folder: Path, kind: str, channels: int, **network: Any) -> Tiny:
    """The tiny volumes with grey values of another type, and channels that differ."""
    tiny = write_tiny(folder, **{"epochs": 1, **network})
    grey = np.load(tiny.image).astype(np.float64)
    values = {"uint16": 200 * grey, "int16": 100 * grey - 9000, "float32": grey / 7 - 3, "uint8": grey}[kind]
    names = []
    for channel in range(channels):
        np.save(folder / f"image{channel}.npy", (values if channel == 0 else values[::-1]).astype(kind))
        names.append(f"file:image{channel}.npy")
    task = json.loads(tiny.task.read_text())
    tiny.task.write_text(json.dumps({**task, "image_chan": names if channels > 1 else names[0]}))
    return tiny


@pytest.mark.parametrize(
    ("kind", "channels", "data"),
    [
        ("uint16", 1, {"normalization": "percentile"}),
        ("int16", 1, {}),
        ("float32", 1, {"normalization": "zscore"}),
        ("uint8", 2, {"normalization": "image"}),
        ("float32", 2, {"normalization": "window", "low": 0, "high": 30}),
    ],
)
def test_a_run_learns_from_the_values_that_its_volumes_hold(
    tmp_path: Path, kind: str, channels: int, data: dict[str, Any]
) -> None:
    tiny = volumes(tmp_path, kind, channels, data=data, augmentations=True)
    out = tmp_path / "out"
    record = mtneuro_ray.train(str(tiny.task), str(tiny.network), out=out)
    assert record.status == "done"
    run = record.load_settings()
    assert run.network.model.in_channels == channels
    assert len(run.data) == channels + 1
    stored = RunFolder(Folder(out)).read(record.run_id)
    assert stored is not None
    assert (stored.normalization["dtype"], len(stored.normalization["factor"])) == (kind, channels)

    arrays = mtneuro_ray.load_task(str(tiny.task), store=out / "store").arrays("test")
    own = [np.load(tmp_path / f"image{channel}.npy") for channel in range(channels)]
    np.testing.assert_array_equal(arrays.images[0], np.stack([image[19:20, 4:20, 0:16] for image in own]))
    assert arrays.images.dtype == kind
    # The recorded statistics alone, and the weights, give the metrics in the run file.
    model = mtneuro_ray.Results(out).model(record.run_id)
    scaling = scaling_of(model)
    assert scaling is not None
    assert scaling.record() == stored.normalization
    images = torch.from_numpy(arrays.images)
    inputs = scale(images, scaling, torch.empty(images.shape), "task").squeeze(2)
    with torch.no_grad():
        predicted = model(inputs).argmax(1).numpy()
    truth = np.asarray(arrays.masks)[:, 0]
    confusion = np.bincount((truth.astype(np.int64) * 3 + predicted).ravel(), minlength=9).reshape(3, 3)
    assert confusion.tolist() == record.metrics["test"]["confusion"]


def test_statistics_come_from_the_training_split_alone(tmp_path: Path) -> None:
    records = []
    for name in ("one", "two"):
        tiny = volumes(tmp_path / name, "float32", 1, data={"normalization": "zscore"})
        image = np.load(tmp_path / name / "image0.npy")
        image[13:] *= 1 if name == "one" else -50
        np.save(tmp_path / name / "image0.npy", image)
        records.append(mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / name / "out"))
        values = np.concatenate([image[0:12, 4:36, low : low + 32].ravel() for low in (0, 40)]).astype(np.float64)
        np.testing.assert_allclose(records[-1].normalization["shift"], [values.mean()], rtol=1e-6)
        np.testing.assert_allclose(records[-1].normalization["factor"], [1 / values.std()], rtol=1e-6)
    assert records[0].normalization == records[1].normalization
    assert records[0].metrics["test"] != records[1].metrics["test"]


def test_what_can_t_be_trained_on_is_one_line(tmp_path: Path) -> None:
    tiny = volumes(tmp_path, "float32", 1)
    with pytest.raises(InputError, match=r"network\.json: data\.normalization: 'unit' divides .* accepted: window"):
        mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / "out")
    image = np.load(tmp_path / "image0.npy")
    image[2, 10, 10] = np.nan
    np.save(tmp_path / "image0.npy", image)
    tiny = volumes(tmp_path / "n", "float32", 1, data={"normalization": "zscore"})
    np.save(tmp_path / "n" / "image0.npy", image)
    record = mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / "out")
    assert record.status == "error"
    assert "train split: image_chan: 1 voxels of image " in str(record.error)
    filled = mtneuro_ray.train(
        str(tiny.task), str(tiny.network), overrides={"data.nonfinite": 0.0}, out=tmp_path / "out"
    )
    assert filled.status == "done"
    two = volumes(tmp_path / "t", "uint8", 2, in_channels=3)
    with pytest.raises(
        InputError, match=r"model\.in_channels: is 3, the image of tiny_segmentation has 2; accepted: 2"
    ):
        mtneuro_ray.train(str(two.task), str(two.network), out=tmp_path / "out")


def test_a_task_at_a_target_voxel_size_reads_resampled_images_and_nearest_labels(tmp_path: Path) -> None:
    tiny = volumes(tmp_path, "float32", 1, data={"normalization": "zscore"})
    values = json.loads(tiny.task.read_text())
    for cube in values["cubes"]:
        cube["y"], cube["x"] = [2, 18], [edge // 2 for edge in cube["x"]]
    sizes = {"voxel_size_um": [3, 1, 1], "target_voxel_size_um": [3, 2, 2]}
    tiny.task.write_text(json.dumps({**values, **sizes}))
    out = tmp_path / "out"
    record = mtneuro_ray.train(str(tiny.task), str(tiny.network), out=out)
    assert record.status == "done"
    arrays = mtneuro_ray.load_task(str(tiny.task), store=out / "store").arrays("test")
    assert arrays.masks is not None
    # A voxel of twice the size has its middle between two voxels along y and x.
    image = np.load(tmp_path / "image0.npy").astype(np.float64)[19, 4:36, 0:32]
    means = image.reshape(16, 2, 16, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(arrays.images[0, 0, 0], means, rtol=1e-6)
    labels = np.load(tiny.labels)[19, 4:36, 0:32]
    assert ((arrays.masks[0, 0] == labels[::2, ::2]) | (arrays.masks[0, 0] == labels[1::2, 1::2])).mean() > 0.9
    assert predicted_size(record, out) == (3.0, 2.0, 2.0)
    own = {**values, **sizes, "voxel_size_um": None}
    # The labels alone say their size, and the image lies on them.
    tiny.task.write_text(json.dumps(own | {"annotation_chan": f"{values['annotation_chan']}?voxel_size=3,1,1"}))
    assert main(["plan", "--task", str(tiny.task)]) == 0
    labelled = mtneuro_ray.load_task(str(tiny.task), store=out / "store").arrays("test")
    np.testing.assert_array_equal(labelled.images, arrays.images)
    tiny.task.write_text(json.dumps(own))
    with pytest.raises(InputError, match="voxel_size: is not known; accepted: "):
        mtneuro_ray.train(str(tiny.task), str(tiny.network), out=out)


def predicted_size(record: RunRecord, out: Path) -> Any:
    predict_run(record, Folder(out), CutoutStore(Folder(out / "store")))
    return predictions.read(predictions.place_of(Folder(out), record.run_id)).voxel_size_um


def test_predictions_have_the_voxel_size_of_the_metadata_where_the_task_has_none(tmp_path: Path) -> None:
    tiny = volumes(tmp_path, "uint8", 1)
    values = json.loads(tiny.task.read_text())
    address = f"{values['image_chan']}?voxel_size=4,0.5,0.5"
    tiny.task.write_text(json.dumps({**values, "image_chan": address}))
    record = mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / "out")
    assert predicted_size(record, tmp_path / "out") == (4.0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"voxel_size_um": 0}, "voxel_size_um: is 0; accepted: greater than 0"),
        ({"voxel_size_um": [1, 2]}, "voxel_size_um"),
        ({"voxel_size_um": "1"}, "voxel_size_um: is '1'; accepted: a valid number"),
        ({"target_voxel_size_um": 1}, "target_voxel_size_um: is 1"),
        ({"image_chan": []}, "image_chan: is []"),
        ({"image_chan": ["file:a.npy", 1]}, "image_chan.1: is 1"),
    ],
)
def test_sizes_and_addresses_that_are_none_are_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        task_settings(**changes)
    assert str(caught.value).startswith(f"task.json: {words}")


def two_volumes(folder: Path) -> Tiny:
    """The right half of the tiny cubes lies in a second volume, whose grey values and labels are mirrored along x."""
    tiny = volumes(folder, "uint16", 1, data={"normalization": "zscore"})
    values = json.loads(tiny.task.read_text())
    for name, path in (("image0", folder / "image0.npy"), ("labels", tiny.labels)):
        np.save(folder / f"{name}_right.npy", np.load(path)[:, :, ::-1].copy())
    values["volumes"] = {"right": {"image_chan": "file:image0_right.npy", "annotation_chan": "file:labels_right.npy"}}
    # In turns, so that the order of the plan is not that of the volumes.
    for cube in values["cubes"]:
        if cube["region"] == "right":
            cube["volume"], cube["x"] = "right", [80 - cube["x"][1], 80 - cube["x"][0]]
    tiny.task.write_text(json.dumps(values))
    return tiny


def test_a_task_over_two_volumes_reads_each_cube_from_its_own(tmp_path: Path) -> None:
    tiny = two_volumes(tmp_path)
    out = tmp_path / "out"
    record = mtneuro_ray.train(str(tiny.task), str(tiny.network), out=out)
    assert record.status == "done"
    run = record.load_settings()
    assert len(set(run.data)) == 4
    assert run.network.model.in_channels == 1
    task = mtneuro_ray.load_task(str(tiny.task), store=out / "store")
    for split in ("train", "val", "test"):
        arrays = task.arrays(split)
        assert arrays.masks is not None
        for number, sample in enumerate(samples_of(run.task, split)):
            suffix = "_right" if sample.region == "right" else ""
            image = np.load(tmp_path / f"image0{suffix}.npy")
            np.testing.assert_array_equal(arrays.images[number, 0], image[sample.roi.slices])
            labels = np.load(tmp_path / f"labels{suffix}.npy")
            np.testing.assert_array_equal(arrays.masks[number], labels[sample.roi.slices])
            assert arrays.region_names[arrays.regions[number]] == sample.region
    written = predict_run(record, Folder(out), CutoutStore(Folder(out / "store")))
    assert written.agrees
    # The same voxels at other addresses are the same run.
    values = json.loads(tiny.task.read_text())
    values["volumes"]["right"]["image_chan"] = f"file:{tmp_path}/image0_right.npy"
    tiny.task.write_text(json.dumps(values))
    assert mtneuro_ray.train(str(tiny.task), str(tiny.network), out=out).run_id == record.run_id


def test_annotated_boxes_and_other_places_go_by_the_volume_that_they_name(tmp_path: Path) -> None:
    tiny = two_volumes(tmp_path)
    values = json.loads(tiny.task.read_text())
    values["annotated"] = [{"z": [0, 3], "volume": "right"}, {"z": [12, 99], "x": [0, 10], "volume": "right"}]
    tiny.task.write_text(json.dumps(values))
    (tmp_path / "moved").mkdir()
    for path in tmp_path.glob("*_right.npy"):
        path.rename(tmp_path / "moved" / path.name)
    with pytest.raises(InputError, match=r"image0_right\.npy: no such file"):
        mtneuro_ray.load_task(str(tiny.task), store=tmp_path / "store").splits()
    moved = f"right=file:{tmp_path}/moved"
    task = mtneuro_ray.load_task(str(tiny.task), volume=moved, store=tmp_path / "store")
    assert task.settings.image_chan == values["image_chan"]
    for split, arrays in task.splits().items():
        plan = samples_of(task.settings, split)
        assert arrays.masks is not None
        assert len(plan) == len(arrays)
        for sample, mask in zip(plan, arrays.masks, strict=True):
            z, x = np.ogrid[sample.roi.z[0] : sample.roi.z[1], sample.roi.x[0] : sample.roi.x[1]]
            counts = (z < 3) | ((z >= 12) & (x < 10)) if sample.region == "right" else z >= 0
            kept = np.broadcast_to(counts[:, np.newaxis], mask.shape)
            assert ((mask != IGNORED) == kept).all()
    with pytest.raises(InputError) as caught:
        mtneuro_ray.load_task(str(tiny.task), volume="phantom")
    assert str(caught.value) == (
        f"{tiny.task}: volumes: --volume phantom names none of the task's; accepted: NAME=URI, NAME one of own, right"
    )
    own = mtneuro_ray.load_task(str(tiny.task), volume="own=zarr:///data?channel=1").settings
    assert own.image_chan == "zarr:///data/image0.npy?channel=1"
    assert own.volumes["right"].image_chan == "file:image0_right.npy"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda task: task["cubes"][0].update(volume="left"), "cubes.0.volume: 'left' is none; accepted: right"),
        (lambda task: [cube.pop("volume", 0) for cube in task["cubes"]], "volumes.right: no cube is in it"),
        (lambda task: task["volumes"]["right"].pop("annotation_chan"), "volumes.right.annotation_chan: is missing"),
        (
            lambda task: task["volumes"]["right"].update(image_chan="file:labels.npy"),
            "right.image_chan: 1 ch",
        ),
        (lambda task: task["cubes"][1].update(z=[10, 99]), "overlaps"),
        (
            lambda task: task.update(annotated=[{"z": 3, "volume": "left"}]),
            "annotated.0.volume: 'left' is none; accepted: right",
        ),
        (
            lambda task: task.update(annotated=[{"z": 99}, {"z": 3, "volume": "right"}]),
            "annotated: no voxel of the val split is annotated",
        ),
        (
            lambda task: task.update(task="readout", annotated=None),
            "volumes: a readout task reads one volume; accepted: leave it out",
        ),
        (lambda task: task["cubes"][-1].update(z=[19, 99]), "cubes.2.z: ends at 99, outside"),
    ],
)
def test_volumes_that_do_not_fit_a_task_are_one_line(tmp_path: Path, change: Any, words: str) -> None:
    tiny = two_volumes(tmp_path)
    task = json.loads(tiny.task.read_text())
    change(task)
    tiny.task.write_text(json.dumps(task))
    with pytest.raises(InputError, match=words):
        mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / "out")
