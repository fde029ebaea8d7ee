"""The public Python API: the examples of its docstrings, and what they leave."""

from __future__ import annotations

import doctest
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mtneuro_ray
from mtneuro_ray.api import task_data as api
from mtneuro_ray.data.export import Format, export_splits
from mtneuro_ray.errors import InputError
from tests.tiny import write_tiny


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the examples share."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize("function", ["Sweep", "inspect_volume", "load_task", "measure", "train"])
def test_an_example_of_a_docstring_prints_what_it_says(function: str, store: Path, tmp_path: Path) -> None:
    documented = getattr(mtneuro_ray, function)
    names = {"mtneuro_ray": mtneuro_ray, "store": store, "out": tmp_path}
    [test] = doctest.DocTestFinder(recurse=False).find(documented, function, globs=names)
    assert test.examples
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test)
    assert runner.failures == 0


def test_everything_public_can_be_had_and_nothing_else() -> None:
    for name in mtneuro_ray.__all__:
        assert getattr(mtneuro_ray, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mtneuro_ray.nothing  # noqa: B018


def test_a_memory_budget_changes_neither_id_nor_numbers_of_a_run(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    records = [
        mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / str(budget), memory_budget=budget)
        for budget in (None, "4kB")
    ]
    assert records[0].run_id == records[1].run_id
    assert records[0].status == records[1].status == "done"
    assert (records[0].metrics, records[0].history) == (records[1].metrics, records[1].history)
    with pytest.raises(InputError, match=r"^--memory-budget: is 'much'; accepted: a number of bytes"):
        mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / "other", memory_budget="much")


def test_a_run_is_trained_once_and_its_record_is_the_file_s(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    epochs: list[int] = []
    first = mtneuro_ray.train(
        str(tiny.task), str(tiny.network), out=tmp_path / "out", report=lambda entry: epochs.append(entry["epoch"])
    )
    assert (first.status, epochs) == ("done", [1, 2])
    again = mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / "out", report=_never)
    assert again == first


def _never(epoch: Mapping[str, Any]) -> None:
    raise AssertionError(f"epoch {epoch} was trained again")


def test_overrides_are_checked_by_path_and_by_last_part(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    with pytest.raises(InputError, match=r"^overrides: optimizer\.learning_rate: is -1"):
        mtneuro_ray.train(str(tiny.task), str(tiny.network), overrides={"learning_rate": -1}, out=tmp_path / "out")
    with pytest.raises(InputError, match=r"overrides: rate: unknown key of UNet with supervised"):
        mtneuro_ray.train(str(tiny.task), str(tiny.network), overrides={"rate": 1}, out=tmp_path / "out")


def test_a_dataset_has_the_split_s_images_and_targets(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    task = mtneuro_ray.load_task(str(tiny.task), store=tmp_path / "store")
    arrays, dataset = task.arrays("val"), task.dataset("val")
    assert len(dataset) == len(arrays) == 40
    image, mask = dataset[3]
    assert arrays.masks is not None
    np.testing.assert_array_equal(image.numpy(), arrays.images[3, 0].astype(np.float32) / 255)
    np.testing.assert_array_equal(mask.numpy(), arrays.masks[3, 0])
    labels = mtneuro_ray.load_task(str(write_tiny(tmp_path / "c", kind="classification").task), store=tmp_path / "s")
    assert [int(labels.dataset("test")[number][1]) for number in (0, -1)] == [0, 1]


def test_a_split_that_a_task_lacks_is_one_line(tmp_path: Path) -> None:
    task = api.load_task(str(write_tiny(tmp_path).task), store=tmp_path / "store")
    with pytest.raises(InputError, match="split: is 'all'; accepted: train, val, test"):
        task.arrays("all")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_exported_files_hold_the_splits(tmp_path: Path, kind: Format) -> None:
    task = api.load_task(str(write_tiny(tmp_path).task), store=tmp_path / "store")
    data = task.splits()
    files = export_splits(task.settings, data, tmp_path / "export", kind)
    assert all(file.is_file() for file in files)
    for split, arrays in data.items():
        if kind == "npz":
            found = dict(np.load(tmp_path / f"export/{split}.npz"))
        else:
            found = {name: np.load(tmp_path / f"export/{split}_{name}.npy") for name in ("images", "masks", "labels")}
        np.testing.assert_array_equal(found["images"], arrays.images)
        np.testing.assert_array_equal(found["masks"], np.asarray(arrays.masks))
        np.testing.assert_array_equal(found["labels"], arrays.labels)


def test_the_model_of_a_run_is_a_plain_module_that_predicts_as_the_run_did(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path)
    record = mtneuro_ray.train(str(tiny.task), str(tiny.network), out=tmp_path / "out")
    model = mtneuro_ray.Results(tmp_path / "out").model(record.run_id)
    dataset = mtneuro_ray.load_task(str(tiny.task), store=tmp_path / "out/store").dataset("test")
    images, masks = (torch.stack(part) for part in zip(*(dataset[index] for index in range(len(dataset))), strict=True))
    with torch.no_grad():
        predicted = model(images).argmax(1)
    confusion = np.bincount((masks * 3 + predicted).flatten().numpy(), minlength=9).reshape(3, 3)
    assert confusion.tolist() == record.metrics["test"]["confusion"]
    with pytest.raises(InputError, match="run_id: none: no such run"):
        mtneuro_ray.Results(tmp_path / "out").model("none")
