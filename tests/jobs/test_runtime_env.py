"""`jobs/runtime_env.yaml`: what the package needs beyond Ray and torch, pinned as in the lock."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from itertools import product

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.ray_cluster import ROOT

# Clusters are Linux; which Python they have is theirs.
_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_PRESENT = ("ray[default]", "torch")


@cache
def required(name: str) -> list[Requirement]:
    try:
        return [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:  # needed by a Python other than this one
        return []


def needed(roots: Iterable[str], python: str) -> set[str]:
    """Names of all that some requirements bring with them on Linux."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    seen: set[tuple[str, str]] = set()
    left = [Requirement(root) for root in roots]
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            of_extra = {**environment, "extra": extra}
            left += [r for r in required(name) if r.marker is None or r.marker.evaluate(of_extra)]
    return {name for name, _ in seen}


def pinned() -> dict[str, list[str]]:
    """Name -> its lines in the lock, without hashes."""
    lines: dict[str, list[str]] = {}
    for text in (ROOT / "requirements.lock").read_text().splitlines():
        line = text.removesuffix("\\").strip()
        if line.startswith("--hash="):
            continue
        lines.setdefault(canonicalize_name(Requirement(line).name), []).append(line)
    return lines


def test_it_lists_what_the_lock_pins_beyond_ray_and_torch() -> None:
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {name for python in _PYTHONS for name in needed(own, python) - needed(_PRESENT, python)}
    lock = pinned()
    linux = [{"sys_platform": "linux", "python_full_version": f"{python}.0"} for python in _PYTHONS]
    expected = sorted(
        {
            line
            for name, environment in product(names, linux)
            for line in lock[name]
            if (marker := Requirement(line).marker) is None or marker.evaluate(environment)
        }
    )
    written = yaml.safe_load((ROOT / "jobs" / "runtime_env.yaml").read_text())
    assert written["pip"]["packages"] == expected
    # All of it is listed, so nothing has to be resolved, and the cluster's own torch stays as it is.
    assert written["pip"]["pip_install_options"] == ["--no-deps"]
