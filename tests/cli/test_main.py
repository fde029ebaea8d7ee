import os
import subprocess
import sys
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import mtneuro_ray
from mtneuro_ray.cli.main import COMMANDS, main
from tests.cli.commands import only_error, tiny
from tests.settings import cube

ROOT = Path(__file__).parents[2]
SMOKE = str(ROOT / "tune_spaces" / "smoke.toml")


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
        (["results", "tabel"], "results: WHAT: is 'tabel'; did you mean 'table'?; accepted: best, table, runs"),
        (["results", "pusch"], "results: WHAT: is 'pusch'; did you mean 'push'?; accepted: best, table, runs"),
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
    named = command.split()
    assert main([*named, "--help"]) == 0
    words = capsys.readouterr().out.split("example: mtneuro-ray ")[1].split()
    assert words[: len(named)] == named
    module, function = import_module(f"mtneuro_ray.cli.{COMMANDS[command][0]}"), f"run_{'_'.join(named)}"

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


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("mtneuro-ray pl", "plan"),
        ("mtneuro-ray plan --pres", "--preset"),
        ("mtneuro-ray results pu", "push"),
        ("mtneuro-ray results push --to mlf", "mlflow"),
        ("mtneuro-ray sweep --space task1/b", "task1/byol"),
        ("mtneuro-ray plan --task task2_3D_3", "task2_3D_3class"),
        ("mtneuro-ray train --task task1 --network VNet", "VNetLight_3class VNetLight_4class"),
        ("mtneuro-ray train --volume pha", "phantom"),
        ("mtneuro-ray ingest --preset s", "smoke"),
        ("mtneuro-ray list networks MAnet_3", "MAnet_3class"),
        ("mtneuro-ray list losses cross", "cross_entropy"),
        ("mtneuro-ray evaluate --split te", "test"),
        ("mtneuro-ray train --network ./my", ""),
    ],
)
def test_a_shell_completes_commands_options_and_names(words: str, offered: str) -> None:
    environment = {"_MTNEURO_RAY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "mtneuro_ray"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout.split() == offered.split()


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
