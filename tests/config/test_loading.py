from pathlib import Path

import pytest

from mtneuro_ray.config.base import read_json, read_toml
from mtneuro_ray.config.loading import find, load_network, load_task, packaged_names
from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.sweeps import load_sweep
from tests.config.checks import refused
from tests.settings import network_values, task_values, write_json


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"name": }', ["line 1: broken JSON", "one object"]),
        ('{"name": 1,\n "task": 2,}', ["line 2: broken JSON"]),
        ("", ["line 1: broken JSON"]),
        ("\ufeff{}", ["broken JSON"]),
        ("[1]", ["holds a list", "one JSON object"]),
        ("null", ["holds a NoneType"]),
        ("[" * 100_000, ["can't be read as JSON (RecursionError)"]),
        ('{"epochs": ' + "1" * 5000 + "}", ["can't be read as JSON (ValueError)"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_broken_json_is_one_line_with_its_file(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = tmp_path / "task.json"
    path.write_text(text)
    for load in (load_task, load_network):
        with refused(f"{path}: ", *parts):
            load(str(path))


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    path.write_bytes(b"\xff\xfe")
    for read in (read_json, read_toml):
        with refused(f"{path}: can't be read (UnicodeDecodeError)", "a UTF-8 file"):
            read(path)


def test_a_folder_and_a_missing_file_are_one_line(tmp_path: Path) -> None:
    with refused(f"{tmp_path}: can't be read (IsADirectoryError)"):
        read_json(tmp_path)
    with refused(f"{tmp_path / 'x'}: no such file", "a readable file"):
        read_toml(tmp_path / "x")


@pytest.mark.parametrize("kind", ["tasks", "networks", "spaces"])
def test_a_name_that_is_neither_packaged_nor_a_file_lists_the_names(kind: str, tmp_path: Path) -> None:
    for name in ("nothing", str(tmp_path)):
        with refused(f"{name}: no such file and no such name", ", ".join(packaged_names(kind))):
            find(kind, name)


def test_packaged_tasks_load() -> None:
    assert [load_task(name)[0].name for name in packaged_names("tasks")] == packaged_names("tasks")


@pytest.mark.parametrize(
    ("volume", "image", "labels"),
    [
        ("phantom", "phantom://thalamocortical/image?seed=0", "phantom://thalamocortical/pixel_labels?seed=0"),
        ("zarr:///data/prasad2020/", "zarr:///data/prasad2020/image", "zarr:///data/prasad2020/pixel_labels"),
        ("bossdb://lab/copy", "bossdb://lab/copy/image", "bossdb://lab/copy/pixel_labels"),
        ("file:volumes", f"file:{Path.cwd()}/volumes/image", f"file:{Path.cwd()}/volumes/pixel_labels"),
        ("n5://a/b?level=1", f"n5://{Path.cwd()}/a/b/image?level=1", f"n5://{Path.cwd()}/a/b/pixel_labels?level=1"),
        ("zarr://s3://b/k?x=1", "zarr://s3://b/k/image?x=1", "zarr://s3://b/k/pixel_labels?x=1"),
    ],
)
def test_a_volume_replaces_the_channels_of_a_task_under_their_names(volume: str, image: str, labels: str) -> None:
    task, _ = load_task("task2_2D_4class", volume)
    own, _ = load_task("task2_2D_4class")
    assert (task.image_chan, task.annotation_chan) == (image, labels)
    assert task.model_copy(update={"image_chan": own.image_chan, "annotation_chan": own.annotation_chan}) == own


def test_a_channel_that_a_task_lacks_is_not_made_up(tmp_path: Path) -> None:
    path = write_json(tmp_path / "t.json", task_values("classification", annotation_chan=None))
    assert load_task(path, "phantom")[0].annotation_chan is None


def test_a_flat_file_name_is_a_channel_s_name(tmp_path: Path) -> None:
    path = write_json(tmp_path / "t.json", task_values())
    assert load_task(path, "file:/elsewhere")[0].image_chan == "file:/elsewhere/image.npy"


def test_a_pair_is_checked_after_preset_and_overrides(tmp_path: Path) -> None:
    task = write_json(tmp_path / "t.json", task_values())
    network = write_json(tmp_path / "n.json", network_values(classes=4))
    with refused(f"{network}: classes: the network has 4"):
        load_pair(task, network)
    pair = load_pair(task, network, overrides=["classes=3", "epochs=9"], preset="smoke")
    assert (pair.network.classes, pair.network.optimizer.epochs) == (3, 9)
    assert (pair.task_file, pair.network_file) == (Path(task), Path(network))


def test_a_preset_of_the_command_line_that_does_not_exist_names_the_option() -> None:
    with refused("--preset: 'fast' is no preset"):
        load_sweep("smoke", preset="fast")
