import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.tasks import TASKS
from tests.settings import cube, task_values, write_json

ROOT = Path(__file__).parents[2]
SMOKE = str(ROOT / "tune_spaces" / "smoke.toml")
SMOKE_SLICES = TASKS.find("segmentation").smoke[2].max_slices


def test_a_plan_as_json_has_splits_runs_cells_and_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--task", "task2_2D_4class", "--network", "UNet_2D_4class", "--format", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["splits"] == {
        split: {"images": 3 * each, "per_class": {"CTX": each, "STR": each, "VP": each}}
        for split, each in (("train", 269), ("val", 29), ("test", 50))
    }
    assert (plan["runs"], plan["candidates"], plan["seeds"]) == (1, 0, 1)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "not known"),
        ({"voxel_size_um": 2}, "2 x 2 x 2 um (z, y, x)"),
        ({"image_chan": "file:image.npy?voxel_size=5,1,1"}, "5 x 1 x 1 um (z, y, x)"),
        (
            {"annotation_chan": "file:labels.npy?voxel_size=4,2,2", "target_voxel_size_um": [2, 2, 2]},
            "4 x 2 x 2 um (z, y, x); resampled to 2 x 2 x 2 um (z, y, x)",
        ),
        ({"image_chan": "zarr://s3://bucket/image"}, "from the volume's metadata"),
        ({"image_chan": "bossdb://prasad/other/image"}, "1.17 x 1.17 x 1.17 um (z, y, x)"),
        (
            {
                "volumes": {
                    "b": {"image_chan": "file:image.npy", "voxel_size_um": [3, 1, 1], "annotation_chan": "file:l"}
                }
            },
            "own not known; b 3 x 1 x 1 um (z, y, x)",
        ),
    ],
)
def test_a_plan_says_the_voxel_size_and_counts_the_bytes_of_voxels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], line: str
) -> None:
    np.save(tmp_path / "image.npy", np.zeros((10, 16, 16), np.float32))
    np.save(tmp_path / "labels.npy", np.zeros((10, 16, 16), np.uint16))
    np.save(tmp_path / "l.npy", np.zeros((10, 16, 16), np.uint16))
    if "target_voxel_size_um" in changes:
        changes["image_chan"] = "file:image.npy?voxel_size=4,2,2"
    cubes = [
        cube(),
        cube(split="val", z=(5, 7)),
        cube(split="test", z=(8, 10), **{"volume": "b"} if "volumes" in changes else {}),
    ]
    file = write_json(tmp_path / "task.json", task_values(cubes=cubes, **changes))
    assert main(["plan", "--task", file]) == 0
    text = capsys.readouterr().out
    assert f"\n  voxel size: {line}\n" in text
    if not changes:
        assert f"{8 * 256 * (4 + 2) / 1e6:.1f} MB from the source" in text


def test_a_plan_of_a_space_counts_cells_and_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--space", SMOKE, "--format", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["runs"], plan["candidates"], plan["seeds"]) == (6, 4, 2)
    assert plan["splits"]["train"]["images"] == 3 * SMOKE_SLICES
    assert [experiment["splits"] for experiment in plan["experiments"]] == [plan["splits"]]


def test_a_plan_of_several_settings_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--space", "task2/unet_2d", "--format", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["runs"], plan["candidates"], plan["seeds"]) == (60, 50, 10)
    assert [experiment["task"] for experiment in plan["experiments"]] == ["task2_2D_3class", "task2_2D_4class"]


@pytest.mark.parametrize("arguments", [["plan", "--space", SMOKE], ["sweep", "--space", SMOKE, "--dry-run"]])
def test_a_plan_for_a_person_starts_nothing(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert f"images  (CTX {SMOKE_SLICES}, STR {SMOKE_SLICES}, VP {SMOKE_SLICES})" in text
    assert text.endswith("smoke: 6 runs (4 candidates + 2 seed runs)\n")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_says_which_splits_stream(capsys: pytest.CaptureFixture[str]) -> None:
    # 128 x 128 images with masks: the training split has more than two images of each region.
    assert main(["sweep", "--space", SMOKE, "--dry-run", "--memory-budget", "200kB"]) == 0
    streams = [line for line in capsys.readouterr().out.splitlines() if "streams" in line]
    assert streams[0].endswith(f"streams: {3 * SMOKE_SLICES * 2 * 128**2 / 1e9:.3g} GB are over memory_budget")
