"""A look at this machine, and what to do about what it lacks."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import torch
from packaging.requirements import Requirement

from mtneuro_ray.machine import memory_bytes, physical_bytes, processors
from mtneuro_ray.storage.folder import Folder

_GB = 1e9
# Ray keeps this part of the memory for shared objects, in /dev/shm, and opens a few files for each worker.
_OBJECT_STORE, _OPEN_FILES = 0.3, 4096
_LEAST_FREE = 10 * _GB
_EXTRA = re.compile(r"extra == [\"']([^\"']+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one subject.

    Attributes:
        subject: What was looked at.
        state: "ok"; "note", which some work needs; or "problem", which nothing works with.
        text: What was found.
        remedy: What to do; empty where nothing is.
    """

    subject: str
    state: Literal["ok", "note", "problem"]
    text: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Look at packages, GPU, processors, memory and limits of this machine; starts nothing and uses no network."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield from check_packages(requires("mtneuro_ray") or ())
    yield check_accelerator()
    yield check_processors()
    yield check_memory()
    yield check_shared_memory()
    yield check_open_files()


def check_packages(requirements: Iterable[str]) -> Iterator[Finding]:
    """Look at the packages that this one needs, and at its extras but for development."""
    wrong: list[str] = []
    lacking: dict[str, list[str]] = {}
    known = [Requirement(text) for text in requirements]
    extras = sorted({extra for each in known for extra in _EXTRA.findall(str(each.marker))} - {"dev"})
    for each in known:
        extra = next((name for name in extras if each.marker and each.marker.evaluate({"extra": name})), None)
        if extra is None and each.marker and not each.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(each.name)
        except PackageNotFoundError:
            found = ""
        if found and each.specifier.contains(found, prereleases=True):
            continue
        if extra is None:
            wrong.append(f"{each.name} {found or 'is not there'}, needed: {each.specifier or 'any'}")
        else:
            lacking.setdefault(extra, []).append(each.name)
    if wrong:
        yield Finding("packages", "problem", "; ".join(wrong), f"{sys.executable} -m pip install mtneuro-ray")
    else:
        yield Finding("packages", "ok", f"torch {version('torch')}, ray {version('ray')}")
    for extra, names in lacking.items():
        remedy = f"pip install 'mtneuro-ray[{extra}]', where it is needed"
        yield Finding(f"extra {extra}", "note", f"lacks {', '.join(names)}", remedy)


def check_accelerator() -> Finding:
    """Look at what torch can train on."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        return Finding("gpu", "ok", ", ".join(names))
    driver = _driver()
    if driver is None:
        return Finding("gpu", "note", "none; models train on processors", "--gpu needs one")
    if torch.version.cuda is None:
        text, remedy = f"driver {driver}, but this torch is built for processors alone", "pip install torch, of CUDA"
    else:
        text = f"torch, built for CUDA {torch.version.cuda}, can't use the driver {driver}"
        remedy = "a newer driver, or a torch for its CUDA (`nvidia-smi` names it)"
    return Finding("gpu", "problem", text, remedy)


def _driver() -> str | None:
    """Version of the NVIDIA driver; None where there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return found[0] if found else None


def check_processors() -> Finding:
    """Look at the processors that this process may use, and that it counts."""
    counted, allowed = os.cpu_count() or 1, processors()
    if allowed < counted:
        text = f"{allowed} of the {counted} of the machine may be used here"
        return Finding("processors", "note", text, f"--num-cpus {allowed}, or trials share them")
    return Finding("processors", "ok", f"{counted}")


def check_memory() -> Finding:
    """Look at the machine's memory, and at a container's limit below it."""
    size, allowed = physical_bytes(), memory_bytes()
    if allowed < 0.9 * size:
        return Finding("memory", "ok", f"{allowed / _GB:.1f} GB are allowed here of {size / _GB:.1f} GB")
    return Finding("memory", "ok", f"{size / _GB:.1f} GB")


def check_shared_memory() -> Finding:
    """Look at the space for the objects that processes of Ray share."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        return Finding("shared memory", "ok", "no /dev/shm: Ray uses files")
    free, wanted = shutil.disk_usage(shared).free, _OBJECT_STORE * memory_bytes()
    text = f"{free / _GB:.1f} GB are free in /dev/shm"
    if free < wanted:
        remedy = f"docker run --shm-size={wanted / 2**30:.0f}g: Ray would put the rest into files, which is slow"
        return Finding("shared memory", "note", f"{text}, Ray takes up to {wanted / _GB:.1f} GB", remedy)
    return Finding("shared memory", "ok", text)


def check_open_files() -> Finding:
    """Look at how many files a process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _OPEN_FILES:
        return Finding("open files", "note", f"{soft} at once", "ulimit -n 65536, for a cluster of many workers")
    return Finding("open files", "ok", "unlimited" if soft == resource.RLIM_INFINITY else f"{soft} at once")


def check_folder(subject: str, folder: Folder) -> Finding:
    """Write, replace under a condition, read and delete a file in a folder or bucket, as a sweep does.

    Raises:
        OSError, StoreError: it can't be written.
    """
    name, started = f"doctor-{uuid.uuid4().hex}", time.perf_counter()
    try:
        made = folder.create(name, b"1") and not folder.create(name, b"2")
        _, seen = folder.read_with_version(name)
        replaced = folder.replace_if(name, b"3", seen) and not folder.replace_if(name, b"4", seen)
        kept = folder.read(name) == b"3"
    finally:
        folder.delete(name)
    text = f"{folder}: written and read in {1000 * (time.perf_counter() - started):.0f} ms"
    if not (made and replaced and kept):
        remedy = "a file system or bucket that heeds conditions of writes, or only one driver at a time"
        return Finding(subject, "problem", f"{folder}: two drivers could overwrite each other's files", remedy)
    if folder.is_local and (free := shutil.disk_usage(folder.local_path).free) < _LEAST_FREE:
        return Finding(subject, "note", f"{text}; {free / _GB:.1f} GB are free", "another disk, or a smaller task")
    return Finding(subject, "ok", text)
