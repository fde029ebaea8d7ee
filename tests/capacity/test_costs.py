from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtneuro_ray.capacity.costs import (
    MARGIN,
    MOST_PER_DEVICE,
    CostTable,
    Workload,
    read_table,
    resident_bytes,
    share_of,
    workloads,
    write_table,
)
from mtneuro_ray.errors import InputError
from tests.costs import cost
from tests.settings import cube, run_settings

ASSERTED = {
    "learning_rate": 0.5,
    "epochs": 7,
    "seed": 3,
    "lr_schedule": "cosine",
    "beta1": 0.5,
}


def _key(on_gpu: bool = False, task: dict[str, Any] | None = None, **network: Any) -> str:
    return Workload.of(run_settings(task=task, network=network), on_gpu=on_gpu).key


def test_a_key_names_the_model_its_settings_the_images_and_the_arithmetic() -> None:
    assert _key() == "UNet n_blocks=2 start_filters=4, 1 x 16 x 16, 3 classes, batch 2, fp32"
    assert _key(on_gpu=True).endswith("batch 2, bf16")
    assert _key(on_gpu=True, precision="fp32").endswith("batch 2, fp32")
    reduced = _key(task={"downsample": 2, "volume_z": 2}, dim=3)
    assert reduced == "UNet dim=3 n_blocks=2 start_filters=4, 2 x 8 x 8, 3 classes, batch 2, fp32"


@pytest.mark.parametrize(("key", "value"), ASSERTED.items())
def test_what_decides_no_memory_makes_no_other_workload(key: str, value: Any) -> None:
    assert _key(**{key: value}) == _key()


@pytest.mark.parametrize(
    ("key", "value"),
    {
        "batch_size": 3,
        "start_filters": 8,
        "optimizer": "SGD",
        "keep": "best",
        "augmentations": True,
        "compile": True,
        "weight_decay": 0.1,
    }.items(),
)
def test_what_decides_memory_makes_another_workload(key: str, value: Any) -> None:
    assert _key(**{key: value}) != _key()


def test_a_rate_of_momentum_or_decay_only_counts_as_there_or_not() -> None:
    assert _key(optimizer="SGD", opt_momentum=0.5) == _key(optimizer="SGD", opt_momentum=0.8)
    assert _key(optimizer="SGD", opt_momentum=0.5) != _key(optimizer="SGD")


def test_frozen_encoders_have_their_own_batch_and_fits_their_number_of_images() -> None:
    ssl: dict[str, Any] = {"model": "ResNet-18", "method": "byol", "classes": 2, "ssl": {"epochs": 50, "batch_size": 4}}
    task = {"kind": "classification", "classes": ["a", "b"]}
    told = "ResNet-18 method=byol, 1 x 16 x 16, 2 classes, batch 4, fp32"
    assert _key(task=task, **ssl) == told
    faster = {**ssl, "ssl": {**ssl["ssl"], "base_learning_rate": 0.5, "lr_warmup_epochs": 2}}
    assert _key(task=task, **faster) == told
    assert "projector_hidden_size=64" in _key(task=task, **{**ssl, "ssl": {**ssl["ssl"], "projector_hidden_size": 64}})
    pca: dict[str, Any] = {"model": "PCA", "method": "decomposition", "classes": 2}
    assert _key(task=task, **pca).endswith("fp32, 4 images")


def test_workloads_stand_once_in_their_order() -> None:
    runs = [run_settings(network={"batch_size": size, "learning_rate": rate}) for size in (2, 1) for rate in (0.1, 0.2)]
    assert [workload.key for workload in workloads(runs, on_gpu=False)] == [_key(batch_size=2), _key(batch_size=1)]


@given(st.integers(1, MOST_PER_DEVICE))
def test_so_many_shares_fit_on_a_device_and_no_more(count: int) -> None:
    # As Ray counts: in whole ten-thousandths.
    units = round(share_of(count) * 10_000)
    assert units == pytest.approx(share_of(count) * 10_000, abs=1e-9)
    assert 10_000 // units == count


def test_a_device_holds_what_fits_with_the_margin_and_its_own_images() -> None:
    run = run_settings()
    # 4 + 2 + 2 images of 256 voxels with their masks, and a label of 8 bytes.
    assert resident_bytes(run) == 8 * (2 * 256 + 8)
    two = run_settings(network={"model": {"name": "UNet", "in_channels": 2}})
    assert resident_bytes(two) == 8 * (3 * 256 + 8)
    assert resident_bytes(two, voxel_bytes=8) == 8 * (9 * 256 + 8)
    on_gpu = cost(device="GPU", base_bytes=1000, peak_bytes=7000, data_bytes=160, device_bytes=40_000)
    needed = MARGIN * 8000 + 4160 - 160
    assert on_gpu.bytes_of(run) == needed
    assert on_gpu.per_device(run) == 40_000 // needed == 2
    assert cost(base_bytes=1000, peak_bytes=7000, data_bytes=160).bytes_of(run) == MARGIN * 8000
    assert cost(device="GPU", device_bytes=1).per_device(run) == 1
    assert cost(device="GPU", base_bytes=0, peak_bytes=1, device_bytes=10**12).per_device(run) == MOST_PER_DEVICE


def test_a_table_keeps_other_keys_and_replaces_the_same(tmp_path: Path) -> None:
    path = str(tmp_path / "costs.json")
    assert read_table(path, default=CostTable()) == CostTable()
    one, two = (Workload.of(run_settings(network={"batch_size": size}), on_gpu=False) for size in (1, 2))
    write_table(path, CostTable().add(one, cost(step_s=1.0)).add(two, cost(step_s=2.0)))
    write_table(path, read_table(path).add(one, cost(step_s=3.0)).add(one, cost(threads=2)))
    table = read_table(path)
    assert list(table.costs) == [
        "UNet n_blocks=2 start_filters=4, 1 x 16 x 16, 3 classes, batch 1, fp32 on cpu, 1 thread",
        "UNet n_blocks=2 start_filters=4, 1 x 16 x 16, 3 classes, batch 1, fp32 on cpu, 2 threads",
        "UNet n_blocks=2 start_filters=4, 1 x 16 x 16, 3 classes, batch 2, fp32 on cpu, 1 thread",
    ]
    assert table.find(one, on_gpu=False, threads=1) == cost(step_s=3.0)
    assert table.find(two, on_gpu=False, threads=1) == cost(step_s=2.0)
    assert table.find(two, on_gpu=False, threads=2) is None
    assert table.find(two, on_gpu=True, threads=1) is None


def test_of_several_gpus_that_with_least_room_counts_unless_one_is_named() -> None:
    workload = Workload.of(run_settings(), on_gpu=True)
    wide, narrow = cost(device="wide", device_bytes=10**11), cost(device="narrow", device_bytes=3 * 10**9)
    table = CostTable().add(workload, wide).add(workload, narrow)
    assert table.find(workload, on_gpu=True, threads=8) == narrow
    assert table.find(workload, on_gpu=True, threads=8, device="wide") == wide
    assert table.find(workload, on_gpu=True, threads=8, device="other") is None
    too_small = cost(device="small", fits=False)
    assert table.add(workload, too_small).find(workload, on_gpu=True, threads=1) == too_small


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"can't be read \(JSONDecodeError\); accepted: what `mtneuro-ray profile"),
        ("[]", "holds a list; accepted: what `mtneuro-ray profile"),
        ('{"version": 2}', "version: is 2; accepted: 1"),
        ('{"costs": {"a": {"fits": true}}}', r"costs.a.device: is missing; this key is required \(and 4 more\)"),
        ('{"costs": {"a": {"fit": true}}}', "costs.a"),
    ],
)
def test_a_bad_table_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "costs.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{path}: {message}"):
        read_table(str(path))


def test_a_measured_cost_needs_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    values = cost().model_dump(mode="json", exclude={"image_s"})
    path.write_text(json.dumps({"costs": {"a": {**values}}}))
    with pytest.raises(InputError, match=r"costs\.a: image_s, step_s: are missing; accepted: both, or fits = false"):
        read_table(str(path))
    path.write_text(json.dumps({"costs": {"a": {**values, "fits": False}}}))
    assert not read_table(str(path)).costs["a"].fits


def test_a_table_that_is_not_there_or_has_another_name_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file; accepted: what `mtneuro-ray profile --space SPACE --out"):
        read_table(str(tmp_path / "costs.json"))
    with pytest.raises(InputError, match=r"is no name of a table; accepted: one that ends in \.json"):
        read_table(str(tmp_path / "costs.toml"))


def test_a_task_without_a_validation_split_has_a_workload() -> None:
    task = {"kind": "classification", "classes": ["a", "b"], "cubes": [cube(), cube(split="test", z=(8, 10))]}
    assert "1 x 16 x 16, 2 classes" in _key(task=task, model="ResNet-18", classes=2)
