"""Files of a volume on this machine: a digest of their contents, and stamps that show a change while they are read.

The digest follows the data: a moved copy has the same one, voxels that are rewritten in place have another. Sets of
more than `MOST_DIGESTED_BYTES` are identified by names, sizes and modification times, because reading terabytes before
every command is no use; a copy of such a set counts as other data.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mtneuro_ray.errors import SourceError

MOST_DIGESTED_BYTES = 64 * 2**30


class Stamp(NamedTuple):
    """File system status of one file; differs after any write, replacement or truncation."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True)
class FileSet:
    """Files below one folder, with the stamp that each had when the set was made (None for a file that is missing).

    The keys of `stamps` are relative to `root`, with `/`; their order is part of the digest.
    """

    root: Path
    stamps: dict[str, Stamp | None]

    @classmethod
    def of(cls, root: Path, names: Iterable[str]) -> FileSet:
        """The named files as they are now."""
        return cls(root, {name: stamp_of(root / name) for name in names})

    @classmethod
    def below(cls, root: Path, ignored: Collection[str]) -> FileSet:
        """All files below a folder, sorted; without hidden ones and ignored names."""
        found = (
            os.path.relpath(os.path.join(place, name), root).replace(os.sep, "/")
            for place, _, files in os.walk(root)
            for name in files
            if not name.startswith(".") and name not in ignored
        )
        return cls.of(root, sorted(found))

    def digest(self, name: str | None = None) -> str:
        """SHA-256, in hex, of the content of one file, or of the names and contents of all.

        Raises:
            SourceError: a file cannot be read, or changed since the set was made.
        """
        if name is not None:
            return _digest(self.root / name, self.stamps[name])
        digest = hashlib.sha256()
        huge = sum(stamp.size for stamp in self.stamps.values() if stamp) > MOST_DIGESTED_BYTES
        for each, stamp in self.stamps.items():
            known = f"{stamp.size}\0{stamp.modified_ns}" if huge and stamp else _digest(self.root / each, stamp)
            digest.update(os.fsencode(f"{each}\0{known}\n"))
        return digest.hexdigest()

    def unchanged(self, names: Iterable[str]) -> bool:
        """Whether the named files are as they were when the set was made; those missing then must be missing now."""
        return all(stamp_of(self.root / name) == self.stamps.get(name) for name in names)


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a file; None where it is missing or cannot be reached."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


# Computed once a process for a file that does not change.
@functools.lru_cache(maxsize=65536)
def _digest(path: Path, stamp: Stamp | None) -> str:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    if stamp_of(path) != stamp:
        raise SourceError(f"{path}: changed while it was read; run again when it is complete")
    return found
