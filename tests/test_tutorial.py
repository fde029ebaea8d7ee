"""The tutorial: each of its commands, in their order, in a folder of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_own_volume import ROOT, run

PAGE = (ROOT / "docs/tutorial.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_what_starts_nothing_runs(tmp_path: Path) -> None:
    assert "6 runs (4 candidates + 2 seed runs)" in run(next(c for c in COMMANDS if " plan " in c), tmp_path)


@pytest.mark.slow
@pytest.mark.ray
def test_every_command_of_the_tutorial_runs(tmp_path: Path) -> None:
    outputs = {command: run(command, tmp_path) for command in COMMANDS}
    assert any("2D U-Net" in text for command, text in outputs.items() if " table " in command)
    assert (tmp_path / "tutorial/report.html").exists()
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    space: dict[str, object] = {}
    exec(code.replace('"tutorial"', repr(str(tmp_path / "tutorial"))), space)
    assert hasattr(space["model"], "state_dict")
