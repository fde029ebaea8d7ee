"""Submissions: the finished runs of an output folder in one zip file, with checksums.

    manifest.json      format, name, version of this package, and the SHA-256 of every other file
    environment.json   versions of the libraries that decide the numbers, and the devices
    runs/RUN_ID.json   run files, without the names of this machine and its folders
    results.parquet    the same as one table: a row per run, split, region, class and metric

Equal runs give an equal file, to the byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mtneuro_ray
from mtneuro_ray.config.run import PROTOCOL_VERSION
from mtneuro_ray.errors import InputError, parsing, printable
from mtneuro_ray.results.portable import without_folders
from mtneuro_ray.results.query import Results
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.storage.run_file import parse_run_file

_FORMAT = 1
_MANIFEST, _ENVIRONMENT, _FRAME = "manifest.json", "environment.json", "results.parquet"
# A zip file can hold a thousand times its size: more than this is no submission.
_MOST_BYTES = 4 * 2**30
_LONGEST_NAME = 200
_ACCEPTED = "accepted: a file of `mtneuro-ray results bundle`, as it was written"


@dataclass(frozen=True)
class Bundle:
    """A submission that was read and checked.

    Attributes:
        name: Name of the submission.
        version: Version of this package that wrote it.
        digest: SHA-256 of the file.
        records: Its runs.
    """

    name: str
    version: str
    digest: str
    records: list[RunRecord]


def write_bundle(results: Results, to: Path, name: str) -> int:
    """Write the finished runs of an output folder as a submission.

    Returns:
        Number of runs.

    Raises:
        InputError: there is no finished run.
    """
    records = sorted((each for each in results.records if each.status == "done"), key=lambda each: each.run_id)
    if not records:
        raise InputError(f"{results.out}: holds no finished run; accepted: the --out folder of a train or sweep")
    shared = [_shared(record) for record in records]
    files = {
        _ENVIRONMENT: _as_json(_environment(shared)),
        _FRAME: _parquet(shared),
        **{f"runs/{record.run_id}.json": _as_json(asdict(record)) for record in shared},
    }
    manifest = {
        "format": _FORMAT,
        "name": name,
        "mtneuro_ray": mtneuro_ray.__version__,
        "protocol_version": PROTOCOL_VERSION,
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
    }
    to.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(to, "w") as archive:
        for file, content in {_MANIFEST: _as_json(manifest), **files}.items():
            # Without a date, the file depends on the runs alone.
            archive.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_DEFLATED)
    return len(records)


def read_bundle(path: Path) -> Bundle:
    """A submission, whose checksums and run files are checked first.

    Raises:
        InputError: the file is none, is damaged, or was changed.
    """
    with parsing(path, "bundle", _ACCEPTED.removeprefix("accepted: ")), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > _MOST_BYTES:
            raise InputError(f"{path}: unpacks to more than {_MOST_BYTES} bytes; {_ACCEPTED}")
        content = {member.filename: archive.read(member) for member in members}
        if len(content) < len(members):
            raise InputError(f"{path}: holds a file twice; {_ACCEPTED}")
        manifest = json.loads(content.pop(_MANIFEST))
        if manifest["format"] != _FORMAT:
            raise InputError(f"{path}: is of format {manifest['format']}; accepted: {_FORMAT}")
        _check(path, manifest["files"], content)
        records = [_record(path, file, text) for file, text in content.items() if file.startswith("runs/")]
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name, version = (printable(str(manifest[key]))[:_LONGEST_NAME] for key in ("name", "mtneuro_ray"))
    return Bundle(name, version, digest, records)


def _check(path: Path, sums: Mapping[str, str], content: Mapping[str, bytes]) -> None:
    """Check that a bundle holds the files of its manifest, unchanged."""
    for file in sorted({*sums, *content}):
        known, found = sums.get(file), content.get(file)
        wrong = (
            "is missing"
            if found is None
            else "is not in the manifest"
            if known is None
            else "has another checksum than the manifest says"
            if hashlib.sha256(found).hexdigest() != known
            else None
        )
        if wrong is not None:
            raise InputError(f"{path}: {printable(file)}: {wrong}; {_ACCEPTED}")


def _record(path: Path, file: str, content: bytes) -> RunRecord:
    try:
        return RunRecord(**parse_run_file(content, file.removeprefix("runs/").removesuffix(".json")))
    except ValueError as error:
        raise InputError(f"{path}: {printable(file)}: {error}; {_ACCEPTED}") from None


def _shared(record: RunRecord) -> RunRecord:
    """A run file that says nothing about the machine but its devices."""
    return replace(record, host="", settings=without_folders(record.settings))


def _environment(records: Iterable[RunRecord]) -> dict[str, Any]:
    """Each library's versions, and devices, over all runs."""
    versions: dict[str, set[str]] = {}
    for record in records:
        for library, version in record.versions.items():
            versions.setdefault(library, set()).add(version)
    devices = {str(record.placement["device"]) for record in records if "device" in record.placement}
    return {"versions": {name: sorted(each) for name, each in sorted(versions.items())}, "devices": sorted(devices)}


def _parquet(records: Iterable[RunRecord]) -> bytes:
    sink = io.BytesIO()
    Results.of(records).frame().to_parquet(sink, index=False)
    return sink.getvalue()


def _as_json(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=True).encode()
