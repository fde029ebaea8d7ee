"""The one direction of imports (README, architecture), read from the source."""

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
# What each part of the package may import of the package.
_BASE = {"errors", "roi", "storage", "config", ""}
_SCIENCE = {"models", "losses", "metrics", "augment"}
ALLOWED = {
    "": set(),
    "errors": set(),
    "roi": set(),
    "storage": {"errors"},
    "config": {"errors", "roi", ""},
    "plan": _BASE,
    "costs": {*_BASE, "plan"},
    "estimate": {*_BASE, "plan", "costs", "search", "results"},
    "results": _BASE,
    "figures": {*_BASE, "data", "results"},
    "report": {*_BASE, "figures", "results"},
    "search": {*_BASE, "plan", "results"},
    "data": {*_BASE, "plan"},
    **{part: {*_BASE, *_SCIENCE} for part in _SCIENCE},
    "tasks": {*_BASE, *_SCIENCE},
    "ssl": {*_BASE, *_SCIENCE},
    "engine": {*_BASE, *_SCIENCE, "data", "tasks", "ssl"},
    "runtime": {*_BASE, *_SCIENCE, "data", "tasks", "ssl", "engine", "plan", "costs", "estimate", "results", "search"},
    "cli": {*_BASE, "data", "plan", "costs", "estimate", "figures", "report", "results", "search", "runtime"},
}
WITHOUT_TORCH = {
    *(
        "",
        "errors",
        "roi",
        "storage",
        "config",
        "plan",
        "costs",
        "estimate",
        "figures",
        "report",
        "results",
        "search",
        "data",
        "cli",
    ),
}


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def part_of(module: str) -> str:
    """`config` of `mtneuro_ray.config.task`, `` of `mtneuro_ray`."""
    return module.partition(".")[2].partition(".")[0]


def part_of_file(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(path: Path) -> Iterator[str]:
    """Absolute names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = str(node.module)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> Iterator[str]:
    """Parts of the package that a file imports."""
    for module in imports(path):
        if module.startswith("mtneuro_ray."):
            part = part_of(module)
            # `from mtneuro_ray import __version__` names no module.
            yield part if part in ALLOWED else ""


@pytest.mark.parametrize("path", sources(PACKAGE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    part = part_of_file(path)
    assert set(own_imports(path)) - ALLOWED[part] - {part} == set()


@pytest.mark.parametrize("path", sources(PACKAGE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_ray_is_imported_by_runtime_alone_and_torch_by_what_computes(path: Path) -> None:
    part = part_of_file(path)
    tops = {module.partition(".")[0] for module in imports(path)}
    assert "ray" not in tops or part == "runtime"
    assert not tops & {"torch", "torchvision"} or part not in WITHOUT_TORCH


def code_folders() -> list[Path]:
    return [folder for folder in (PACKAGE, ROOT / "jobs", ROOT / "benchmarks") if folder.is_dir()]


@pytest.mark.parametrize(
    "path",
    [path for folder in code_folders() for path in sources(folder)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_private_module_of_ray_is_imported(path: Path) -> None:
    private = [
        module
        for module in imports(path)
        if module.startswith("ray.") and any(name.startswith("_") for name in module.split("."))
    ]
    assert private == []


@pytest.mark.skipif(not (ROOT / "jobs").is_dir(), reason="an installed package has no jobs beside it")
def test_jobs_import_no_ray_and_nothing_below_the_command_line() -> None:
    for path in sources(ROOT / "jobs"):
        assert "ray" not in {module.partition(".")[0] for module in imports(path)}
        assert set(own_imports(path)) <= {"cli"}


@pytest.mark.parametrize(
    "module",
    [
        "mtneuro_ray.cli.main",
        "mtneuro_ray.cli.plan",
        "mtneuro_ray.cli.sweep",
        "mtneuro_ray.results",
        "mtneuro_ray.search",
    ],
)
def test_a_fresh_interpreter_imports_it_without_torch_and_ray(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'ray'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("module", ["cluster", "ray_data", "ray_tune"])
def test_a_driver_and_what_only_reads_import_no_torch(module: str) -> None:
    code = f"import sys, mtneuro_ray.runtime.{module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")
