"""The page "Your own volume": each of its commands, in their order, in a folder of their own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/own_volume.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)
LIGHT = COMMANDS[: [command.startswith("mtneuro-ray sweep") for command in COMMANDS].index(True)]


def run(command: str, folder: Path) -> str:
    """The output of a command that ends well."""
    words = shlex.split(command)
    program = {"python": [sys.executable], "mtneuro-ray": [sys.executable, "-m", "mtneuro_ray"]}[words[0]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*program, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def test_the_commands_up_to_the_sweep_run_and_print_what_the_page_says(folder: Path) -> None:
    outputs = {command: run(command, folder) for command in LIGHT}
    shown = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    inspected = next(text for command, text in outputs.items() if " inspect " in command)
    assert all(text in inspected for text in shown)
    files = sorted(path.name for path in (folder / "own/project").iterdir())
    assert files == sorted(re.findall(r"^\| `(\S+)` \|", PAGE, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.ray
def test_every_command_of_the_page_runs(folder: Path) -> None:
    for command in COMMANDS:
        run(command, folder)
    assert list((folder / "own/smoke/runs").glob("*.json"))
