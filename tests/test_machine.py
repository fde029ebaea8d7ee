"""What this process may use of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtneuro_ray import machine
from mtneuro_ray.data.stored import default_budget


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the files of a control group."""
    monkeypatch.setattr(machine, "_MEMORY_LIMITS", (str(tmp_path / "memory.max"), str(tmp_path / "none")))
    monkeypatch.setattr(machine, "_PROCESSOR_LIMIT", str(tmp_path / "cpu.max"))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def test_a_container_without_limits_has_the_whole_machine(limits: Path) -> None:
    (limits / "memory.max").write_text("max\n")
    (limits / "cpu.max").write_text("max 100000\n")
    assert machine.memory_bytes() == machine.physical_bytes()
    assert machine.processors() == 8


@pytest.mark.parametrize(("quota", "processors"), [("150000", 2), ("20000", 1), ("1600000", 8)])
def test_the_limits_of_a_container_hold(limits: Path, quota: str, processors: int) -> None:
    (limits / "memory.max").write_text("1000000000\n")
    (limits / "cpu.max").write_text(f"{quota} 100000\n")
    assert machine.this_machine().memory_bytes == machine.memory_bytes() == 1_000_000_000
    assert machine.processors() == processors
    assert default_budget() == 100_000_000


def test_a_machine_without_control_groups_is_used_as_it_is(limits: Path) -> None:
    assert not any(limits.iterdir())
    assert machine.memory_bytes() == machine.physical_bytes()
    assert machine.processors() == 8
