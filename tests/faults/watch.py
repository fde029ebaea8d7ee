"""A reader of the output folder and the store that looks at every file as soon as it appears, and never looks away."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder

_PAUSE_S = 0.02
_Stamp = tuple[int, int, int]


class Watcher:
    """Reads all that a sweep leaves while its `with` block lasts.

    Args:
        out: Output folder.
        store: Cutouts.
        identities: Identities of the volumes in the store.

    Attributes:
        violations: What should never be seen: a file that can't be read whole, a finished run that changed.
        seen: Distinct shards, checkpoints and finished runs so far.
    """

    def __init__(self, out: Path, store: Path, identities: list[str]) -> None:
        self.violations: list[str] = []
        self.seen: Counter[str] = Counter()
        self._out, self._store = out, store
        self._cutouts = CutoutStore(Folder(store))
        self._identities = {hashlib.sha256(identity.encode()).hexdigest()[:20]: identity for identity in identities}
        self._stamps: dict[Path, _Stamp] = {}
        self._done: dict[Path, tuple[int, str]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def done(self) -> set[str]:
        """Ids of the runs that were seen finished."""
        return {path.stem for path in list(self._done)}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:
                # A watcher that has ended unseen would have seen nothing wrong.
                self._violation(f"the watcher failed: {type(error).__name__}: {error}")
                return
            time.sleep(_PAUSE_S)

    def look(self) -> None:
        """Read every file that is new since the last look, and every finished run again."""
        for name in self._listed(self._out / "runs"):
            self._read_run(self._out / "runs" / name)
        for path in list(self._done):
            if not path.exists():
                self._violation(f"{path.name}: a finished run is gone")
        for name in self._listed(self._out):
            # The log of the Optuna study is lines that are appended, and can be rebuilt.
            if name.endswith(".json"):
                self._read_new(self._out / name, "json")
        for each in _names(self._out / "checkpoints"):
            for name in self._listed(self._out / "checkpoints" / each):
                self._read_new(self._out / "checkpoints" / each / name, "json" if name.endswith(".json") else name)
        for source in self._identities:
            for name in self._listed(self._store / source):
                # Beside its shards lies what the metadata of a source say.
                self._read_new(self._store / source / name, "json" if name.endswith(".json") else "shard")

    def _listed(self, folder: Path) -> list[str]:
        """Files of a folder as the package lists them."""
        names = Folder(folder).list()
        for name in names:
            if name.startswith("."):
                self._violation(f"{folder.name}: the listing shows {name}")
        return names

    def _read_run(self, path: Path) -> None:
        content = _read(path)
        if content is None:
            return
        stamp, text = content
        try:
            status = json.loads(text)["status"]
        except (ValueError, KeyError, TypeError):
            self._violation(f"{path.name}: a run file of {len(text)} bytes that is not whole")
            return
        digest = hashlib.sha256(text).hexdigest()
        before = self._done.get(path)
        if before is not None and before != (stamp[0], digest):
            self._violation(f"{path.name}: a finished run was written again, now {status}")
        if status == "done":
            if before is None:
                self.seen["run"] += 1
            self._done[path] = (stamp[0], digest)
        if self._stamps.get(path) != stamp:
            self._stamps[path] = stamp
            if RunFolder(Folder(self._out)).read(path.stem) is None:
                self._violation(f"{path.name}: not read as a run file")

    def _read_new(self, path: Path, kind: str) -> None:
        if _stamp(path) in (None, self._stamps.get(path)):
            return
        content = _read(path)
        if content is None or content[0] == self._stamps.get(path):
            return
        self._stamps[path] = content[0]
        try:
            self._parse(path, kind, content[1])
        except Exception as error:
            self._violation(f"{path}: {len(content[1])} bytes that are not whole ({type(error).__name__}: {error})")
            return
        self.seen[{"last.pt": "checkpoint", "shard": "ingest"}.get(kind, kind)] += 1

    def _parse(self, path: Path, kind: str, content: bytes) -> None:
        if kind == "json":
            json.loads(content)
        elif kind == "shard":
            self._cutouts.read_shard(self._identities[path.parent.name], Roi.parse(path.stem))
        else:
            torch.load(io.BytesIO(content), weights_only=True)

    def _violation(self, text: str) -> None:
        if text not in self.violations:
            self.violations.append(text)


def epochs_saved(out: Path) -> dict[str, int]:
    """Training id -> epochs that its last checkpoint holds."""
    found = {}
    for each in _names(out / "checkpoints"):
        content = _read(out / "checkpoints" / each / "last.pt")
        if content is not None:
            found[each] = int(torch.load(io.BytesIO(content[1]), weights_only=True)["epoch"])
    return found


def essence(out: Path) -> dict[str, dict[str, Any]]:
    """Run id -> its file, without what differs from one execution to the next."""
    records = RunFolder(Folder(out)).all()
    return {
        record.run_id: {name: value for name, value in asdict(record).items() if name not in ("timings", "host")}
        for record in records
    }


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> tuple[_Stamp, bytes] | None:
    """A file, with the stamp of what was read and not of what has taken its place since."""
    try:
        with open(path, "rb") as stream:
            found = os.fstat(stream.fileno())
            return (found.st_ino, found.st_mtime_ns, found.st_size), stream.read()
    except FileNotFoundError:
        return None
