from dataclasses import replace
from typing import Any

import pytest

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.results.benchmark import FAMILIES, MethodNames, family_of, paper_method, part_of, parts_of
from mtneuro_ray.results.frame import Run, runs_of
from mtneuro_ray.results.methods import by_method, data_labels
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import FOUR, PHANTOM, THREE, benchmark_record, encoder_record, segmentation_record


def record_of(run: RunSettings) -> RunRecord:
    return RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"))


def packaged(task: str, network: str, preset: str | None = None, **changes: Any) -> RunRecord:
    pair = load_pair(task, network, preset=preset, changes=changes)
    return record_of(RunSettings(task=pair.task, network=pair.network, role="final", data=PHANTOM))


def scale_of(record: RunRecord) -> str:
    part = part_of(Run.of(record))
    return ", ".join((*part.epochs, *part.images))


def names_of(records: list[RunRecord], *shown: str) -> tuple[list[str], list[str]]:
    runs = [Run.of(record) for record in records]
    names = MethodNames(runs, shown)
    return [names.name(run).text for run in runs], names.notes


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("iou", [THREE, FOUR])
def test_the_four_tasks_of_segmentation_are_known(dim: int, iou: tuple[float, ...]) -> None:
    assert family_of(Run.of(benchmark_record(iou, dim=dim))) is FAMILIES[f"task2_{dim}D_{len(iou)}class"]


@pytest.mark.parametrize(
    "task", [{}, {"name": "task1"}, {"name": "task2_2D_3class"}, {"name": "task2_2D_4class"}], ids=str
)
def test_other_tasks_are_not_whatever_they_are_called(task: dict[str, Any]) -> None:
    record = segmentation_record(task=task)
    assert family_of(Run.of(record)) is None
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
    assert names_of([packaged(task, network)]) == ([name], [])


@pytest.mark.parametrize("method", ["Supervised", "Sup w/ Mixup", "BYOL", "MYOW", "MYOW-m", "PCA", "NMF"])
def test_encoders_have_the_paper_s_names(method: str) -> None:
    run = Run.of(encoder_record(0.5, method=method))
    assert paper_method(run) == method
    assert names_of([encoder_record(0.5, method=method)]) == ([method], [])


def test_a_method_of_another_model_is_none_of_the_paper_s() -> None:
    record = benchmark_record(name="mine_3class")
    settings = {**record.settings, "task": load_task("task1", "phantom")[0].model_dump(mode="json")}
    run = Run.of(replace(record, settings=settings))
    assert family_of(run) is FAMILIES["task1"]
    assert paper_method(run) is None
    assert MethodNames([run]).name(run).text == "mine"


def test_networks_that_are_set_otherwise_are_numbered_and_explained() -> None:
    small = packaged("task2_2D_4class", "MAnet_4class", encoder_name="resnet18", encoder_weights=None)
    own = benchmark_record(name="mine_3class", loss="dice", augmentations=True)
    record = packaged("task2_2D_4class", "MAnet_4class")
    network = {**record.settings["network"]}
    network["model"] = {**network["model"], "encoder_weights": "file:/data/b7.pt"}
    weights = replace(record, settings={**record.settings, "network": network})
    names, notes = names_of([small, own, small, weights])
    assert names == ["MA-Net [1]", "2D U-Net [2]", "MA-Net [1]", "MA-Net [3]"]
    assert notes == [
        "[1] encoder_name=resnet18, encoder_weights=null",
        "[2] named mine, loss=dice, augmentations=true",
        "[3] encoder_weights=file:b7.pt",
    ]
    run = Run.of(small)
    assert MethodNames([run]).name(run).value == "MA-Net, encoder_name=resnet18, encoder_weights=null"


def test_methods_of_own_tasks_are_told_apart_by_what_no_column_shows() -> None:
    alone = [segmentation_record(loss="dice")]
    assert names_of(alone) == (["net"], [])
    weighted = [segmentation_record(class_weights=weights) for weights in ("none", "balanced")]
    assert names_of(weighted) == (["net [1]", "net [2]"], ["[1] class_weights=none", "[2] class_weights=balanced"])
    rates = [segmentation_record(learning_rate=rate) for rate in (0.1, 0.2)]
    assert names_of(rates) == (["net", "net"], [])


def test_files_from_before_a_key_are_seeds_of_the_same_method() -> None:
    young, old = benchmark_record(seed=1), benchmark_record(seed=100)
    network = {**old.settings["network"], "model": dict(old.settings["network"]["model"])}
    del network["loss"], network["model"]["start_filters"]
    task = {key: value for key, value in old.settings["task"].items() if key not in ("max_slices", "tile_stride")}
    old = replace(old, settings={**old.settings, "network": network, "task": task})
    assert Run.of(old).method == Run.of(young).method
    assert scale_of(old) == ""
    assert names_of([old]) == (["2D U-Net"], [])


def test_weights_are_known_by_what_they_are_and_not_by_where_they_lie() -> None:
    records = []
    for seed, folder in ((1, "a"), (100, "b")):
        record = packaged("task2_2D_4class", "MAnet_4class", seed=seed)
        network = {**record.settings["network"]}
        network["model"] = {**network["model"], "encoder_weights": f"file:/{folder}/b7.pt"}
        records.append(replace(record, settings={**record.settings, "network": network}))
    assert len(by_method(runs_of(records))) == 2
    known = [replace(record, settings={**record.settings, "weights": "sha256:0"}) for record in records]
    assert len(by_method(runs_of(known))) == 1


def test_parts_are_told_apart_by_data_and_scale_and_two_states_of_the_data_by_a_digest() -> None:
    records = [
        benchmark_record(FOUR, epochs=2),
        benchmark_record(),
        benchmark_record(FOUR),
        benchmark_record(data=("bossdb://a", "bossdb://b")),
        benchmark_record(data=("zarr:a 1", "zarr:b 1")),
        benchmark_record(data=("zarr:a 2", "zarr:b 1")),
        segmentation_record(),
    ]
    runs = runs_of(records)
    tasks = ("task2_2D_3class", "task2_2D_4class")
    found = [(part.source(data_labels(runs)), len(own)) for part, own in parts_of(runs, tasks)]
    assert found[:3] == [("bossdb data", 1), ("phantom data", 2), ("phantom data, 2 epochs", 1)]
    first, second = (source for source, _ in found[3:])
    assert first != second
    assert {len(source) for source in (first, second)} == {len("zarr data 012345")}
