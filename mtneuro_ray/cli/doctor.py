"""`mtneuro-ray doctor`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Option

from mtneuro_ray.cli.options import Address, path
from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.storage.folder import Folder

if TYPE_CHECKING:
    from mtneuro_ray.capacity.doctor import Finding

_COLORS = {"ok": "32", "note": "33", "problem": "31"}


def run_doctor(
    out: Annotated[str | None, Option(metavar="OUT", callback=path, help="output folder or bucket to try")] = None,
    store: Annotated[str | None, Option(metavar="STORE", callback=path, help="cutout store to try")] = None,
    volume: Annotated[
        list[str], Option(metavar="URI", help="volume to open, and to read a voxel of: asks BossDB or a bucket")
    ] = [],
    ray: Annotated[
        bool, Option("--ray/--no-ray", help="start a Ray of this machine, or join that of --address, and end it again")
    ] = True,
    address: Address = None,
    format: Annotated[Literal["text", "json"], Option()] = "text",
) -> int:
    """Print a line for each subject, and what to do where something is lacking."""
    found = []
    for finding in _findings(out, store, volume, address, ray):
        found.append(finding)
        if format == "text":
            print(_line(finding), flush=True)
    if format == "json":
        print(json.dumps([asdict(finding) for finding in found], indent=1))
    return int(any(finding.state == "problem" for finding in found))


def _line(finding: Finding) -> str:
    state = f"{finding.state:7}"
    if sys.stdout.isatty():
        state = f"\033[{_COLORS[finding.state]}m{state}\033[0m"
    remedy = f"; {'do' if finding.state == 'problem' else 'or'}: {finding.remedy}" if finding.remedy else ""
    return f"{state}  {finding.subject}: {finding.text}{remedy}"


def _findings(
    out: str | None, store: str | None, volumes: list[str], address: str | None, with_ray: bool
) -> Iterator[Finding]:
    from mtneuro_ray.capacity.doctor import Finding, check_folder, examine

    def tried(subject: str, look: Callable[..., Finding], *where: str) -> Finding:
        try:
            return look(*where)
        except MTNeuroError as error:
            text, _, accepted = str(error).partition("; accepted: ")
            return Finding(subject, "problem", text, accepted)
        except OSError as error:
            return Finding(subject, "problem", f"{error.filename}: {error.strerror}", "a folder that can be written")

    def join() -> Finding:
        from mtneuro_ray.cluster.connect import connected

        started = time.perf_counter()
        with connected(address):
            taken = time.perf_counter() - started
        return Finding(
            "ray", "ok", f"{address or os.environ.get('RAY_ADDRESS') or 'this machine'}: up in {taken:.1f} s"
        )

    def read(uri: str) -> Finding:
        from mtneuro_ray.roi import Roi
        from mtneuro_ray.volumes.source import open_volume

        started = time.perf_counter()
        source = open_volume(uri)
        z, y, x = (side // 2 for side in source.shape)
        source.read(Roi.at((z, y, x), (1, 1, 1)))
        size = " x ".join(map(str, source.shape))
        return Finding("volume", "ok", f"{uri}: {size} {source.dtype}, in {time.perf_counter() - started:.1f} s")

    def write(subject: str, place: str) -> Finding:
        return check_folder(subject, Folder(place))

    yield from examine()
    if with_ray:
        yield tried("ray", join)
    given = "BOSSDB_TOKEN is set" if os.environ.get("BOSSDB_TOKEN") else "BOSSDB_TOKEN is not set: public data are read"
    yield Finding("token", "ok", given)
    for subject, place in (("out", out), ("store", store)):
        if place is not None:
            yield tried(subject, write, subject, place)
    for uri in volumes:
        yield tried("volume", read, uri)
