import csv
import io
import json
import os
import subprocess
import sys
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mtneuro_ray
from mtneuro_ray.cli.main import COMMANDS, main
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.tasks import TASKS
from tests.results.records import segmentation_record
from tests.settings import cube, network_values, run_settings, task_values, write_json

ROOT = Path(__file__).parents[2]
SMOKE = str(ROOT / "tune_spaces" / "smoke.toml")
SMOKE_SLICES = TASKS.find("segmentation").smoke[2].max_slices


@pytest.fixture(autouse=True)
def no_store_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTNEURO_STORE", raising=False)


def tiny(folder: Path, **task: Any) -> list[str]:
    """`--task` and `--network` of two 16 x 16 cubes over volumes in files."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, (10, 4, 8), dtype=np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    np.save(folder / "image.npy", 60 * labels + random.integers(0, 60, labels.shape, dtype=np.uint8))
    np.save(folder / "labels.npy", labels)
    cubes = [
        cube(region, split, z, x=[x, x + 16], label=label)
        for label, (region, x) in enumerate((("A", 0), ("B", 16)))
        for split, z in (("train", (0, 4)), ("val", (5, 7)), ("test", (8, 10)))
    ]
    return [
        "--task",
        write_json(folder / "task.json", task_values(**{"cubes": cubes, **task})),
        "--network",
        write_json(folder / "net.json", network_values()),
    ]


def only_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "mtneuro-ray: missing command; accepted: see mtneuro-ray --help"),
        (["fly"], "no such command 'fly'; accepted: see mtneuro-ray --help"),
        (["pln"], "no such command 'pln'. Did you mean 'plan'?"),
        (
            ["plan", "--taks", "task1"],
            "plan: no such option: --taks; did you mean --task?; accepted: see mtneuro-ray plan",
        ),
        (["plan", "--task"], "option '--task' requires an argument; accepted: "),
        (["plan", "task1"], "got unexpected extra argument(s) (task1)"),
        (["--fast"], "mtneuro-ray: no such option: --fast"),
        (["plan"], "--task, --space: accepted: one of them; see mtneuro-ray plan --help"),
        (["plan", "--task", "task1", "--space", SMOKE], "--task, --space: accepted: one of them"),
        (["plan", "--task", "task1", "--format", "xml"], "plan: --format: is 'xml'; accepted: text, json"),
        (
            ["plan", "--task", "task9"],
            "task9: no such file and no such name; did you mean 'task3'?",
        ),
        (["plan", "--task", "task1", "--network", "VNet"], "VNet: no such file and no such name"),
        (["plan", "--task", "task1", "--network", "UNet_2D_4class"], "model.name: UNet does not serve"),
        (["plan", "--task", "task1", "--preset", "fast"], "--preset: 'fast' is no preset; accepted: smoke, paper"),
        (["plan", "--task", "task1", "--volume", "ftp://x"], "'ftp' is unknown; accepted: phantom"),
        (["plan", "--task", "task1", "--set", "epochs=1"], "--set: changes a network, and there is none"),
        (["plan", "--task", "task1", "--network", "SUP_ResNet-18_2D", "--set", "epochs"], "has no '='"),
        (["plan", "--task", "task1", "--network", "SUP_ResNet-18_2D", "--set", "x=1"], "--set: x: unknown key"),
        (
            ["plan", "--task", "task1", "--network", "SUP_ResNet-18_2D", "--set", "batch_size=2000"],
            "batch_size: 2000 is larger than the training split (1076 images of task1); accepted: 1 to 1076",
        ),
        (["plan", "--space", "none.toml"], "none.toml: no such file"),
        (["plan", "--space", SMOKE, "--set", "dim=3"], "dim: 3 needs volume_z above 1"),
        (["train", "--task", "task1"], "train: --network: is missing; accepted: see mtneuro-ray train --help"),
        (
            ["train", "--task", "task1", "--network", "SUP_ResNet-18_2D", "--seed", "one"],
            "--seed: is 'one'; accepted: a whole number",
        ),
        (["train", "--task", "task1", "--network", "SUP_ResNet-18_2D", "--seed", "-1"], "seed: is -1"),
        (
            ["train", "--task", "task1", "--network", "SUP_ResNet-18_2D", "--workers", "-1"],
            "--workers: is '-1'; accepted: a whole number from 0 to 1024",
        ),
        (
            ["train", "--task", "task1", "--network", "SUP_ResNet-18_2D", "--threads", "0"],
            "--threads: is '0'; accepted: a whole number from 1 to 4096",
        ),
        (
            ["train", "--task", "task1", "--network", "SUP_ResNet-18_2D", "--set", "method=decomposition"],
            "is not for ResNet-18",
        ),
        (["sweep", "--space", "none.toml"], "none.toml: no such file"),
        (["sweep", "--space", SMOKE, "--set", "classes=3"], "classes: the network has 3"),
        (["ingest", "--task", "task9"], "task9: no such file"),
        (["ingest", "--task", "task1", "--preset", "fast"], "--preset: 'fast' is no preset"),
        (["results", "worst"], "WHAT: is 'worst'; accepted: best, table, runs"),
        (["results", "best", "--out", "ftp://host/x"], "ftp://host/x: "),
        (["results", "best", "--out", ""], "--out: is empty; accepted: a path or an address"),
        (
            ["results", "best", "--out", "~nobody-of-this-name/out"],
            "--out: ~nobody-of-this-name/out: there is no such user",
        ),
        (["results", "runs", "--watch", "--every", "0"], "--every: is 0; accepted: more than 0"),
        (["ingest", "--task", " "], "--task: is empty"),
        (["ingest", "--task", "task1", "--num-cpus", "1000000"], "accepted: a whole number from 1 to 4096"),
        (["plan", "--space", SMOKE, "--nodes", "1000000000"], "--nodes: is '1000000000'; accepted: a whole number"),
        (
            ["plan", "--task", "task1", "--task", "task2_2D_4class"],
            "mtneuro-ray plan: --task: stands twice; accepted: once",
        ),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert text in only_error(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ({"colour": 1}, "colour: unknown key"),
        ({"cubes": []}, "cubes: is []"),
        ({"image_chan": "file:none.npy"}, "none.npy"),
        ({"image_chan": "jpg:x"}, "jpg:x: 'jpg' is unknown"),
        ({"cubes": [cube(), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 11))]}, "cubes.2.z: ends at 11"),
        ({"classes": ["a", "b"]}, "classes: the network has 3"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", [["plan"], ["train", "--workers", "0"]], ids=" ".join)
def test_a_bad_task_file_is_one_line_and_status_2(
    command: list[str], task: dict[str, Any], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")] if command[0] == "train" else []
    assert main([*command, *tiny(tmp_path, **task), *out]) == 2
    assert text in only_error(capsys)
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_has_no_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for what in ("best", "table", "runs"):
        assert main(["results", what, "--out", str(tmp_path)]) == 2
        assert only_error(capsys).startswith(f"error: {tmp_path}: holds no runs; accepted: ")


def test_a_file_as_output_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = tiny(tmp_path)
    assert main(["train", *arguments, "--workers", "0", "--out", str(tmp_path / "net.json")]) == 2
    assert only_error(capsys).endswith("net.json: is a file; accepted: a folder")


def test_a_folder_that_cannot_be_written_is_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = tiny(tmp_path)
    below = tmp_path / "net.json" / "out"
    assert main(["train", *arguments, "--workers", "0", "--out", str(below)]) == 1
    assert str(tmp_path / "net.json") in only_error(capsys)


def test_a_gpu_that_is_not_there_is_told_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["train", *tiny(tmp_path), "--workers", "0", "--gpu", "--out", str(tmp_path / "out")]) == 2
    assert only_error(capsys) == "error: gpu: torch finds no GPU on this machine; accepted: leave it out"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "task", "text", "status"),
    [
        (["train", "--gpu"], {}, "Ray on this machine: 1 GPU are needed, it has 0; accepted: fewer", 2),
        (["train"], {"image_chan": "file:none.npy"}, "none.npy", 2),
        (["ingest"], {"image_chan": "zarr:none.zarr"}, "none.zarr", 2),
        (["ingest"], {"cubes": [cube(), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 11))]}, "ends at 11", 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told_before_a_cluster_is_started(
    command: list[str],
    task: dict[str, Any],
    text: str,
    status: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(**options: Any) -> None:
        raise AssertionError("a cluster is started")

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("ray.init", start)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    files = tiny(tmp_path, **task)
    words = files if command[0] == "train" else files[:2]
    assert main([*command, *words, "--out", str(tmp_path / "out")]) == status
    assert text in only_error(capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_that_the_parser_accepts(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([command, "--help"]) == 0
    words = capsys.readouterr().out.split("example: mtneuro-ray ")[1].split()
    assert words[0] == command
    module, function = import_module(f"mtneuro_ray.cli.{COMMANDS[command][0]}"), f"run_{command}"

    @wraps(getattr(module, function))
    def accepts(**options: Any) -> int:
        return 0

    monkeypatch.setattr(module, function, accepts)
    assert main(words) == 0


def test_all_commands_are_listed_and_none_of_their_modules_is_imported_for_it() -> None:
    code = "import sys; from mtneuro_ray.cli.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    page, _, modules = done.stdout.rstrip().rpartition("\n")
    assert all(f"\n  {name} " in page for name in COMMANDS)
    assert "\x1b" not in page
    assert not {f"mtneuro_ray.cli.{module}" for module, *_ in COMMANDS.values()} & set(modules.split())
    assert not {"pydantic", "pandas", "torch", "ray"} & set(modules.split())


@pytest.mark.parametrize(("words", "offered"), [("mtneuro-ray pl", "plan"), ("mtneuro-ray plan --pres", "--preset")])
def test_a_shell_completes_commands_and_options(words: str, offered: str) -> None:
    environment = {"_MTNEURO_RAY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "mtneuro_ray"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout.split() == [offered]


def test_a_home_folder_is_found_behind_an_equals_sign(
    out: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path(out[1]).parent))
    assert main(["results", "runs", f"--out=~/{Path(out[1]).name}", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 5


def test_a_job_does_not_write_into_its_own_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    monkeypatch.chdir(tmp_path)
    for option in ("--out", "--store"):
        assert main(["sweep", "--space", SMOKE, option, "results"]) == 2
        assert f"{option}: 'results' is relative to the folder of a Ray job" in only_error(capsys)
    assert main(["sweep", "--space", SMOKE, "--out", str(tmp_path / "out"), "--dry-run"]) == 0


def test_control_characters_of_a_name_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--task", "task1\x1b[2J\r\udcff"]) == 2
    assert only_error(capsys).startswith(r"error: task1\x1b[2J \udcff: no such file")


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mtneuro-ray {mtneuro_ray.__version__}\n"


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


def run_files(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}


def test_training_in_this_process_from_files_to_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["train", *tiny(tmp_path), "--workers", "0", "--out", str(out), "--set", "epochs=1", "--seed", "5"]
    assert main(arguments) == 0
    first = capsys.readouterr()
    [record] = RunFolder(Folder(out)).all()
    assert first.out.startswith("net on small: lr 0.01, batch 2, 1 epochs, seed 5\n")
    assert first.out.endswith(f"run file: {out}/runs/{record.run_id}.json\n")
    assert "epoch 1: train/loss" in first.err
    assert (record.status, record.summary["seed"], record.summary["role"]) == ("done", 5, "final")
    assert np.sum(record.metrics["test"]["confusion"]) == 4 * 256

    before = run_files(out)
    assert main(arguments) == 0
    second = capsys.readouterr()
    assert run_files(out) == before
    assert second.out == first.out
    assert "epoch" not in second.err

    assert main([*arguments[:-1], "6"]) == 0
    after = run_files(out)
    assert len(after) == 2
    assert before.items() <= after.items()


def test_regions_are_classified_from_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey = np.zeros((16, 96), np.uint8)
    grey[:, 48:] = 200
    Image.fromarray(grey).save(tmp_path / "image.png")
    cubes = [
        cube(region, split, (0, 1), x=[x, x + 16], label=label)
        for label, (region, first) in enumerate((("dark", 0), ("bright", 48)))
        for split, x in (("train", first), ("val", first + 16), ("test", first + 32))
    ]
    values = task_values("classification", image_chan="file:image.png", classes=["dark", "bright"], cubes=cubes)
    task = write_json(tmp_path / "task.json", {**values, "annotation_chan": None, "downsample": 2})
    network = write_json(tmp_path / "res.json", network_values(model="ResNet-18", classes=2, epochs=1))
    assert main(["train", "--task", task, "--network", network, "--workers", "0", "--out", str(tmp_path / "out")]) == 0
    assert "Confusion matrix of the test split" in capsys.readouterr().out
    [record] = RunFolder(Folder(tmp_path / "out")).all()
    assert np.sum(record.metrics["test"]["confusion"], axis=1).tolist() == [1, 1]


def test_a_run_that_fails_is_status_1_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    wild = ["--set", "optimizer=SGD", "--set", "learning_rate=1e11", "--set", "normalization=none"]
    assert main(["train", *tiny(tmp_path), "--workers", "0", *out, *wild]) == 1
    assert "error: diverged: the loss is" in capsys.readouterr().out
    assert main(["results", "runs", *out, "--format", "json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["status"] == "error"
    assert row["error"].startswith("diverged")


def test_a_store_of_its_own_is_shared_by_outputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", *tiny(tmp_path), "--workers", "0", "--set", "epochs=1"]
    assert main([*arguments, "--out", str(tmp_path / "a"), "--store", str(tmp_path / "store")]) == 0
    assert "ingest small: 12 cutouts" in capsys.readouterr().err
    monkeypatch.setenv("MTNEURO_STORE", str(tmp_path / "store"))
    assert main([*arguments, "--out", str(tmp_path / "b")]) == 0
    assert "ingest" not in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["checkpoints", "logs", "runs"]


@pytest.fixture
def out(tmp_path: Path) -> list[str]:
    """`--out` of a folder with two candidates, one of them best, two seed runs and a failure."""
    runs = RunFolder(Folder(tmp_path))
    for record in (
        segmentation_record(role="candidate", val=0.2, learning_rate=0.1),
        segmentation_record(role="candidate", val=0.6, learning_rate=0.01),
        segmentation_record((0.5, 0.3, 0.1), seed=1),
        segmentation_record((0.7, 0.2, 0.3), seed=100),
        RunRecord.failed(run_settings(network={"seed": 3}), "diverged"),
    ):
        runs.write(record)
    return ["--out", str(tmp_path)]


def test_the_best_cell_as_json_has_the_keys_that_scripts_read(
    out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", "best", *out, "--format", "json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert set(row) == {"model", "task", "learning_rate", "batch_size", "metric", "value", "run_id"}
    assert (row["learning_rate"], row["value"]) == (0.01, 0.6)


@pytest.mark.parametrize("what", ["best", "table", "runs"])
def test_results_print_in_every_format(what: str, out: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    printed = {}
    for name in ("md", "csv", "json", "latex"):
        assert main(["results", what, *out, "--format", name]) == 0
        printed[name] = capsys.readouterr().out
    rows = {"best": 1, "table": 4, "runs": 5}[what]
    assert len(json.loads(printed["json"])) == rows
    assert len(list(csv.reader(io.StringIO(printed["csv"].split("\n\n")[0])))) == rows + 1
    assert len([line for line in printed["md"].splitlines() if line.startswith("| ")]) == rows + 1
    assert printed["latex"].count(r"\\") == rows + 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["table", "--model", "VNet"], "--model: no run of 'VNet'; accepted: net"),
        (["runs", "--task", "x"], "--task: no run of 'x'; accepted: small"),
        (
            ["best", "--metric", "val/iou"],
            "--metric: no candidate has 'val/iou'; accepted: val/dataset/iou_mean, val/loss",
        ),
    ],
)
def test_a_question_about_what_is_not_there_is_one_line(
    arguments: list[str], text: str, out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", *arguments, *out]) == 2
    assert only_error(capsys) == f"error: {text}"


def test_a_reader_that_has_seen_enough_is_no_error(out: list[str]) -> None:
    code = "import sys; from mtneuro_ray.cli.main import main; sys.exit(main(sys.argv[1:]))"
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-c", code, "results", "runs", *out],
            stdout=closed,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
