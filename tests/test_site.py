"""The documentation as a site: its links, its reference, and that it builds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    """The module that mkdocs loads beside its settings."""
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "deploy/site/hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "source", "page", "expected"),
    [
        ("[a](docs/sweep.md)", "README.md", "index.md", "[a](sweep.md)"),
        ("![p](docs/longer_look/slices.jpg)", "README.md", "index.md", "![p](longer_look/slices.jpg)"),
        ("[c](../CONTRIBUTING.md)", "docs/usage.md", "usage.md", "[c](contributing.md)"),
        ("[c](../../CONTRIBUTING.md#x)", "docs/add/model.md", "add/model.md", "[c](../contributing.md#x)"),
        ("[b](../README.md)", "benchmarks/README.md", "benchmarks.md", "[b](index.md)"),
        ("[`all.toml`](../tune_spaces/all.toml)", "docs/sweep.md", "sweep.md", "`tune_spaces/all.toml`"),
        ("[space](../tune_spaces/all.toml)", "docs/sweep.md", "sweep.md", "space (`tune_spaces/all.toml`)"),
        ("[r](https://ray.io) [h](#here)", "README.md", "index.md", "[r](https://ray.io) [h](#here)"),
    ],
)
def test_links_within_the_repository_lead_to_pages(
    hooks: ModuleType, text: str, source: str, page: str, expected: str
) -> None:
    assert hooks.linked(text, source, page) == expected


def test_the_reference_has_every_command_with_its_options_and_every_key(hooks: ModuleType) -> None:
    commands = hooks.commands()
    assert all(f"## {name}\n" in commands for name in hooks.COMMANDS)
    assert "--memory-budget" in commands
    methods = hooks.reference("methods")
    assert "## byol\n" in methods
    assert "base_learning_rate" in methods


def test_the_site_builds_and_no_link_leads_nowhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs-material, of the extra dev, is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", "deploy/site/mkdocs.yml", "-d", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    home = (tmp_path / "index.html").read_text()
    assert "mtneuro_ray" in home
    # Nothing is fetched: pages open without a network.
    assert "fonts.googleapis" not in home
