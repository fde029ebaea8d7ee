"""The one direction of imports (docs/architecture.md), read from the source: three checks, and what starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mtneuro_ray

PACKAGE = Path(mtneuro_ray.__file__).parent
ROOT = PACKAGE.parent
# Rooms, lowest first: a module imports from its own room and from those before it.
ROOMS = (
    "errors",
    "interrupts",
    "machine",
    "progress",
    "rng",
    "retry",
    "roi",
    "registry",
    "volumes",
    "config",
    "storage",
    "models",
    "losses",
    "metrics",
    "data",
    "onboarding",
    "tasks",
    "methods",
    "sweep",
    "results",
    "trackers",
    "engine",
    "sharing",
    "capacity",
    "cluster",
    "api",
    "cli",
)
WITHOUT_TORCH = {
    "errors",
    "interrupts",
    "machine",
    "progress",
    "retry",
    "roi",
    "config",
    "volumes",
    "storage",
    "sweep",
    "results",
    "trackers",
    "onboarding",
    "api",
    "cli",
}


def modules(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders if folder.is_dir() for path in folder.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Absolute names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_a_module_imports_only_from_its_room_and_those_below() -> None:
    wrong = []
    for path in modules(PACKAGE):
        room = room_of(path)
        if room in ("__init__", "__main__"):
            continue
        for module in imports(path):
            other = module.removeprefix("mtneuro_ray.").partition(".")[0]
            if module.startswith("mtneuro_ray.") and ROOMS.index(other) > ROOMS.index(room):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert wrong == []


def test_ray_is_imported_by_cluster_alone_and_torch_by_what_computes() -> None:
    wrong = []
    for path in modules(PACKAGE):
        room, tops = room_of(path), {module.partition(".")[0] for module in imports(path)}
        if "ray" in tops and room != "cluster":
            wrong.append(f"{path.relative_to(PACKAGE)} imports ray")
        if tops & {"torch", "torchvision"} and room in WITHOUT_TORCH:
            wrong.append(f"{path.relative_to(PACKAGE)} imports torch")
    assert wrong == []


def test_no_private_module_of_ray_is_imported_and_jobs_only_call_the_command_line() -> None:
    for path in modules(PACKAGE, ROOT / "jobs", ROOT / "benchmarks"):
        private = [name for name in imports(path) if name.startswith("ray.") and "._" in name]
        assert private == [], path
    for path in modules(ROOT / "jobs"):
        own = {name for name in imports(path) if name.partition(".")[0] in ("mtneuro_ray", "ray")}
        assert own <= {"mtneuro_ray.cli.main"}, path


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("mtneuro_ray.cli.main, mtneuro_ray.cli.plan, mtneuro_ray.cli.training, mtneuro_ray.results", "torch ray"),
        ("mtneuro_ray.cli.inspect, mtneuro_ray.cli.init", "torch ray"),
        ("mtneuro_ray.cluster.connect, mtneuro_ray.cluster.ray_data, mtneuro_ray.cluster.ray_tune", "torch"),
    ],
)
def test_a_fresh_interpreter_imports_drivers_and_readers_without_heavy_libraries(modules: str, absent: str) -> None:
    code = f"import sys, {modules}; print(sorted(set({absent.split()}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
