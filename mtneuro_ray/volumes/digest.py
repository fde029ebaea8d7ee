"""Identity of data in local files: a digest of their contents, and stamps that show a change while they are read.

The digest follows the data: a moved copy has the same one, voxels that are rewritten in place have another. Sets of
more than `MOST_DIGESTED_BYTES` are identified by names, sizes and modification times, because reading terabytes before
every command is no use; a copy of such a set counts as other data.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mtneuro_ray.errors import SourceError

MOST_DIGESTED_BYTES = 64 * 2**30


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the file system says of one file; differs after any write, replacement or truncation."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of a file.

        Raises:
            SourceError: it cannot be read.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def digest_file(path: Path) -> str:
    """SHA-256 of a file, in hex; computed once a process for a file that does not change.

    Raises:
        SourceError: it cannot be read.
    """
    return _digest(path, Stamp.of(path))


def digest_files(root: Path, names: Iterable[str]) -> str:
    """SHA-256, in hex, of the names (relative to `root`) and contents of several files; see the module for huge sets.

    Raises:
        SourceError: one cannot be read.
    """
    stamps = {name: Stamp.of(root / name) for name in names}
    if sum(stamp.size for stamp in stamps.values()) > MOST_DIGESTED_BYTES:
        entries = (f"{name}\0{stamp.size}\0{stamp.modified_ns}\n" for name, stamp in stamps.items())
    else:
        entries = (f"{name}\0{_digest(root / name, stamp)}\n" for name, stamp in stamps.items())
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(os.fsencode(entry))
    return digest.hexdigest()


@functools.lru_cache(maxsize=65536)
def _digest(path: Path, stamp: Stamp) -> str:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    if Stamp.of(path) != stamp:
        raise SourceError(f"{path}: changed while it was read; run again when it is complete")
    return found
