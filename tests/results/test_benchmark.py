from dataclasses import replace
from typing import Any

import pytest

from mtneuro_ray.config.loading import load_pair, load_task
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.results.benchmark import MethodNames, parts_of, scale_of, setting_of
from mtneuro_ray.results.methods import by_method, method_of
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import FOUR, PHANTOM, THREE, benchmark_record, segmentation_record


def record_of(run: RunSettings) -> RunRecord:
    return RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"))


def packaged(task: str, network: str, preset: str | None = None) -> RunRecord:
    pair = load_pair(task, network, preset=preset)
    return record_of(RunSettings(task=pair.task, network=pair.network, role="final", data=PHANTOM))


def with_network(record: RunRecord, **changes: Any) -> RunRecord:
    return replace(record, settings={**record.settings, "network": {**record.settings["network"], **changes}})


def without_keys(record: RunRecord, part: str, *keys: str) -> RunRecord:
    values = {key: value for key, value in record.settings[part].items() if key not in keys}
    return replace(record, settings={**record.settings, part: values})


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("iou", [THREE, FOUR])
def test_the_four_settings_of_task_2_are_known(dim: int, iou: tuple[float, ...]) -> None:
    assert setting_of(benchmark_record(iou, dim=dim)) == (f"{dim}D", len(iou))


@pytest.mark.parametrize(
    "task", [{}, {"name": "task1"}, {"name": "task2_2D_3class"}, {"name": "task2_2D_4class"}], ids=str
)
def test_other_tasks_are_not_whatever_they_are_called(task: dict[str, Any]) -> None:
    record = segmentation_record(task=task)
    assert setting_of(record) is None
    assert scale_of(record) == ""


@pytest.mark.parametrize(
    ("task", "epochs", "text"),
    [
        ({}, 20, ""),
        ({}, 5, "5 epochs"),
        ({"tile_size": [128, 128]}, 20, "128 px"),
        ({"tile_size": [64, 128]}, 20, "64 x 128 px"),
        ({"max_slices": 16}, 1, "1 epochs, at most 16 slices a cube and split"),
        ({"downsample": 2, "tile_stride": [128, 128]}, 20, "tile_stride [128, 128], downsample 2"),
    ],
    ids=str,
)
def test_a_scale_is_what_is_not_the_paper_s(task: dict[str, Any], epochs: int, text: str) -> None:
    assert scale_of(benchmark_record(task=task, epochs=epochs)) == text


def test_the_smoke_preset_shows_in_the_scale_and_its_cubes_are_the_paper_s() -> None:
    for task, network, images in (("2D", "UNet_2D", "slices"), ("3D", "VNetLight", "sub-volumes")):
        record = packaged(f"task2_{task}_3class", f"{network}_3class", preset="smoke")
        side, most = record.settings["task"]["tile_size"][0], record.settings["task"]["max_slices"]
        epochs = record.summary["epochs"]
        assert scale_of(record) == f"{epochs} epochs, {side} px, at most {most} {images} a cube and split"
        assert side < 256


@pytest.mark.parametrize("moved", [{"z": [0, 9]}, {"x": [0, 256]}, {"y": [800, 1256]}, {"region": "TRN"}], ids=str)
def test_other_cubes_are_told(moved: dict[str, Any]) -> None:
    cubes = load_task("task2_2D_3class")[0].model_dump(mode="json")["cubes"]
    # The last one is a test cube, so that no splits overlap.
    task = {"cubes": [*cubes[:-1], {**cubes[-1], **moved}]}
    assert scale_of(benchmark_record(task=task)) == "other cubes"


@pytest.mark.parametrize(
    ("task", "network", "name"),
    [
        ("task2_2D_3class", "UNet_2D_3class", "2D U-Net"),
        ("task2_2D_4class", "MAnet_4class", "MA-Net"),
        ("task2_2D_4class", "UnetPlusPlus_4class", "U-Net++"),
        ("task2_2D_4class", "PAN_4class", "PAN"),
        ("task2_3D_3class", "UNet_3D_3class", "3D U-Net"),
        ("task2_3D_4class", "VNetLight_4class", "VNetLight"),
        ("task2_3D_4class", "HighResNet_4class", "HighResNet"),
    ],
)
def test_packaged_networks_have_the_paper_s_names_and_no_notes(task: str, network: str, name: str) -> None:
    names = MethodNames()
    assert names.name(packaged(task, network)).text == name
    assert names.notes == []


def test_networks_that_are_set_otherwise_are_numbered_and_explained() -> None:
    names = MethodNames()
    small = with_network(packaged("task2_2D_4class", "MAnet_4class"), encoder_name="resnet18", encoder_weights=None)
    own = benchmark_record(name="mine_3class", loss="dice", augmentations=True)
    weights = with_network(small, encoder_name="efficientnet-b7", encoder_weights="file:/data/b7.pt")
    assert [names.name(record).text for record in (small, own, small, weights)] == [
        "MA-Net [1]",
        "2D U-Net [2]",
        "MA-Net [1]",
        "MA-Net [3]",
    ]
    assert names.notes == [
        "[1] encoder_name=resnet18, encoder_weights=null",
        "[2] named mine, augmentations=true, loss=dice",
        "[3] encoder_weights=file:b7.pt",
    ]
    assert names.name(small).value == "MA-Net, encoder_name=resnet18, encoder_weights=null"


def test_methods_of_own_tasks_are_called_as_their_networks() -> None:
    names = MethodNames()
    assert names.name(segmentation_record(loss="dice")).text == "net"
    assert names.notes == []


def test_files_from_before_a_key_are_seeds_of_the_same_method() -> None:
    young, old = benchmark_record(seed=1), benchmark_record(seed=100)
    old = without_keys(old, "network", "encoder_name", "encoder_weights", "class_weights", "dim")
    old = without_keys(old, "task", "max_slices", "tile_stride", "downsample")
    assert method_of(old) == method_of(young)
    assert scale_of(old) == ""
    assert MethodNames().name(old).text == "2D U-Net"


def test_weights_are_known_by_what_they_are_and_not_by_where_they_lie() -> None:
    here, there = (
        with_network(benchmark_record(seed=seed), encoder_weights=f"file:/{folder}/b7.pt")
        for seed, folder in ((1, "a"), (100, "b"))
    )
    assert len(by_method([here, there])) == 2
    known = [replace(record, settings={**record.settings, "weights": "sha256:0"}) for record in (here, there)]
    assert len(by_method(known)) == 1


def test_parts_are_told_apart_by_dimension_data_and_scale() -> None:
    records = [
        benchmark_record(dim=3),
        benchmark_record(FOUR, epochs=2),
        benchmark_record(),
        benchmark_record(FOUR),
        benchmark_record(data=("bossdb://a", "bossdb://b")),
        segmentation_record(),
    ]
    found = [(part.dimension, part.source, len(runs)) for part, runs in parts_of(records)]
    assert found == [
        ("2D", "bossdb data", 1),
        ("2D", "phantom data", 2),
        ("2D", "phantom data, 2 epochs", 1),
        ("3D", "phantom data", 1),
    ]
