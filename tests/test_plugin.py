"""The example plugin: installed beside the package, it is found everywhere, with no line of the package touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "examples/plugin"
FILES = sorted(path for path in (PLUGIN / "mtneuro_example").glob("*.py") if path.name != "__init__.py")

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_each_addition_is_one_file_of_at_most_forty_lines() -> None:
    assert [path.stem for path in FILES] == ["method", "metric", "model", "task", "volume"]
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 40, path


def test_the_pages_show_the_plugin_s_code() -> None:
    for path in FILES:
        page = (ROOT / f"docs/add/{path.stem}.md").read_text()
        assert f"```python\n{path.read_text()}```" in page, path.stem


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A command line of an environment in which pip has installed the plugin."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "plugin"
    # pip builds in the folder that it installs from.
    subprocess.run(["cp", "-r", str(PLUGIN), str(source)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{target}"}

    def run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "mtneuro_ray", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.mark.parametrize(
    ("kind", "name", "key"),
    [
        ("models", "DilatedNet", "dilations"),
        ("methods", "simclr", "temperature"),
        ("metrics", "surface_distance", "surface distance"),
        ("tasks", "morphometry", "val/volume_error_mean"),
        ("volumes", "balls", "balls://image"),
    ],
)
def test_list_prints_what_the_plugin_adds(installed: Command, kind: str, name: str, key: str) -> None:
    assert name in installed("list", kind).stdout
    assert key in installed("list", kind, name).stdout


def test_a_volume_scheme_of_a_plugin_is_read_as_any_other(installed: Command, tmp_path: Path) -> None:
    installed("export", "data", "--task", str(PLUGIN / "balls.json"), "--format", "npy", "--out", str(tmp_path))
    images = np.load(tmp_path / "data/balls/train_images.npy")
    masks = np.load(tmp_path / "data/balls/train_masks.npy")
    assert images[:, 0].shape == masks.shape == (16, 1, 64, 64)
    assert images[:, 0][masks == 1].mean() - images[:, 0][masks == 0].mean() == pytest.approx(60, abs=2)


@pytest.fixture(scope="module")
def swept(installed: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a sweep of the plugin's space."""
    out = tmp_path_factory.mktemp("swept")
    installed("sweep", "--space", str(PLUGIN / "space.toml"), "--out", str(out), "--num-cpus", "2")
    return out


@pytest.mark.slow
@pytest.mark.ray
def test_a_sweep_of_the_plugin_is_in_every_output(installed: Command, swept: Path) -> None:
    best = json.loads(installed("results", "best", "--out", str(swept), "--format", "json").stdout)
    [row] = [row for row in best if row["task"] == "morphometry"]
    assert row["model"] == "DilatedNet"
    assert row["metric"] == "val/volume_error_mean"
    values = [record["metrics"]["val"]["volume_error_mean"] for record in candidates(swept)]
    assert row["value"] == min(values)

    tables = installed("results", "table", "--out", str(swept)).stdout
    for word in ("DilatedNet", "SimCLR", "Share error", "Surface distance", "balls"):
        assert word in tables

    drawn = installed("figures", "--out", str(swept), "--store", str(swept / "store")).stdout
    assert "DilatedNet" in drawn
    report = installed("report", "--out", str(swept)).stdout
    page = (swept / "report.html").read_text()
    assert "report.html" in report
    for word in ("DilatedNet", "SimCLR", "morphometry"):
        assert word in page


def candidates(out: Path) -> list[dict[str, dict[str, dict[str, float]]]]:
    """Run files of the searched experiment's candidates."""
    records = [json.loads(path.read_text()) for path in (out / "runs").glob("*.json")]
    found = [record for record in records if record["summary"]["role"] == "candidate"]
    assert len(found) == 2
    assert all(record["status"] == "done" for record in records)
    return found
