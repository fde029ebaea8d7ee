"""The built wheel, in an environment and a folder that know nothing of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from mtneuro_ray.config.loading import packaged_names

ROOT = Path(__file__).parents[1]
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "mtneuro_ray", "tune_spaces")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`mtneuro-ray` of a fresh environment that has the wheel and, from this one, what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    source, environment = folder / "source", folder / "environment"
    source.mkdir()
    for name in SOURCES:
        # Not in place: a `build` folder of an earlier wheel would add its files to this one.
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(wheel, check=True)
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    [built] = folder.glob("*.whl")
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(built)], check=True)
    [packages] = environment.glob("lib/python*/site-packages")
    # Searched after the environment's own; its .pth files, such as that of an editable install, are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return str(environment / "bin" / "mtneuro-ray")


def run(command: str, folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_holds_all_spaces_tasks_and_networks(command: str, tmp_path: Path) -> None:
    plan = run(command, tmp_path, "plan", "--space", "smoke")
    assert plan.endswith("smoke: 6 runs (4 candidates + 2 seed runs)\n")
    for kind in ("spaces", "tasks", "networks"):
        code = f"from mtneuro_ray.config.loading import packaged_names; print(*packaged_names({kind!r}))"
        assert run(str(Path(command).parent / "python"), tmp_path, "-c", code).split() == packaged_names(kind)
    assert list(tmp_path.iterdir()) == []
