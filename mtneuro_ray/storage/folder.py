"""A folder on this machine or in a bucket; readers see each file whole or not at all.

Files of this machine are read and written by hand: obstore's local store, which serves buckets well, cannot replace a
file under a condition, lists files that are still being written, and reads a run file many times slower.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import posixpath
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mtneuro_ray.errors import InputError, printable

_ACCEPTED = "accepted: a path, s3://... or gs://..."
# Prefix of temporary files and locks, which are never listed.
_HIDDEN = ".partial-"
# File systems round modification times to at most this.
_COARSE_NS = 2 * 10**9
# Errors of `os.link` on file systems without hard links.
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EMLINK}


class Folder:
    """Files below one root, named by relative paths with `/`.

    The class itself stores them on this machine, or on a file system that machines share. For the address of a bucket,
    `Folder(root)` returns a `storage.bucket.BucketFolder`.

    Args:
        root: A path, in which `~` is the home folder, or the address of a bucket: `s3://BUCKET/KEY` or
            `gs://BUCKET/KEY`, with `?endpoint_override=HOST:PORT&scheme=http` for another server than AWS or Google.

    Raises:
        InputError: the address names no folder or bucket, or holds credentials.
    """

    is_local = True
    """True if the files have paths on this machine."""

    def __new__(cls, root: str | os.PathLike[str]) -> Folder:
        """A folder of the class that the root needs."""
        if "://" not in os.fspath(root):
            return super().__new__(cls)
        # Not at the top: most commands use no bucket, and obstore takes time to import.
        from mtneuro_ray.storage.bucket import BucketFolder

        return super().__new__(BucketFolder)

    def __init__(self, root: str | os.PathLike[str]) -> None:
        # `_base` is an absolute path, or the key in a bucket.
        self.root = self._base = _absolute(os.fspath(root))

    def __truediv__(self, name: str) -> Folder:
        # The options of an address (`?endpoint_override=...`) stay behind its path.
        base, mark, options = (self.root, "", "") if self.is_local else self.root.partition("?")
        below = object.__new__(type(self))
        vars(below).update(vars(self), root=posixpath.join(base, name) + mark + options, _base=self._path(name))
        return below

    def __reduce__(self) -> tuple[type[Folder], tuple[str]]:
        return (Folder, (self.root,))

    def __str__(self) -> str:
        return self.root

    def _path(self, name: str) -> str:
        if name.startswith("/") or ".." in name.split("/"):
            raise InputError(f"{self.root}: {name!r} leads out of the folder; accepted: a name in it")
        return posixpath.join(self._base, name)

    @property
    def local_path(self) -> Path:
        """The root as a path on this machine.

        Raises:
            InputError: the root is in a bucket.
        """
        return Path(self._base)

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        path = self._path(name)
        with _naming(path), open(path, "rb") as stream:
            return stream.read()

    def read_with_version(self, name: str) -> tuple[bytes, Any]:
        """The content of a file, and its version for `replace_if`: a digest, or the bucket's own.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        content = self.read(name)
        return content, hashlib.sha256(content).hexdigest()

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Write or replace a file atomically: no reader ever sees a part of it."""
        with _written(self._path(name), content) as (temporary, path):
            os.replace(temporary, path)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file if it does not exist; of several concurrent calls exactly one returns True."""
        with _written(self._path(name), content) as (temporary, path):
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                with _locked(path):
                    if os.path.lexists(path):
                        return False
                    os.replace(temporary, path)
        return True

    def replace_if(self, name: str, content: bytes, version: Any) -> bool:
        """Replace a file if it still has the version that `read_with_version` returned; True if it was replaced."""
        with _written(self._path(name), content) as (temporary, path), _locked(path):
            try:
                if self.read_with_version(name)[1] != version:
                    return False
            except FileNotFoundError:
                return False
            os.replace(temporary, path)
        return True

    def exists(self, name: str) -> bool:
        """True if the file exists; False for a folder."""
        path = self._path(name)
        with _naming(path):
            return os.path.isfile(path)

    def delete(self, name: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(self._path(name))

    def delete_tree(self, name: str) -> None:
        """Remove a folder with all its files, if it exists."""
        path = self._path(name)
        if os.path.isdir(path):
            shutil.rmtree(path)

    def list(self, suffix: str = "") -> list[str]:
        """Sorted names of the complete files directly under the root that end in `suffix`."""
        return sorted(entry.name for entry in self._entries(suffix))

    def stamps(self, suffix: str = "") -> dict[str, str]:
        """The names that `list` returns, unsorted, each with a text that changes when the file is replaced.

        The text is empty for a file so young that a replacement might not show.
        """
        youngest, found = time.time_ns() - _COARSE_NS, {}
        for entry in self._entries(suffix):
            # Another process may have deleted it since it was listed.
            with suppress(FileNotFoundError):
                status = entry.stat()
                stamp = f"{status.st_size} {status.st_mtime_ns}"
                found[entry.name] = stamp if status.st_mtime_ns < youngest else ""
        return found

    def _entries(self, suffix: str) -> Iterator[os.DirEntry[str]]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._base) as entries:
            for entry in entries:
                if entry.name.endswith(suffix) and not entry.name.startswith(_HIDDEN) and entry.is_file():
                    yield entry

    def check(self) -> None:
        """Check once that a bucket exists and can be listed, so that a command fails at its start; paths always pass.

        Raises:
            InputError: the bucket does not exist, or refuses the credentials.
            MTNeuroError: the server of the bucket does not answer.
        """


def place_of(file: str) -> tuple[Folder, str]:
    """The folder of a file, on this machine or in a bucket, and its name in it.

    Raises:
        InputError: as of `Folder`.
    """
    # The options of an address (`?endpoint_override=...`) stay behind its path.
    base, mark, options = file.partition("?" if "://" in file else "\0")
    head, slash, name = base.rpartition("/")
    return Folder((head or slash or ".") + mark + options), name


def _absolute(text: str) -> str:
    """An absolute path on this machine that can be written and printed."""
    if not text.strip() or "\0" in text:
        raise InputError(f"{text!r}: is the name of no folder; {_ACCEPTED}")
    try:
        text.encode()
        path = str(Path(text).expanduser().absolute())
        is_file = Path(path).is_file()
    except UnicodeEncodeError:
        raise InputError(f"{printable(text)}: is not UTF-8; {_ACCEPTED}") from None
    except (OSError, RuntimeError) as error:
        # Too long, or the home of an unknown user.
        raise InputError(f"{printable(text)}: {getattr(error, 'strerror', None) or error}; {_ACCEPTED}") from None
    if is_file:
        raise InputError(f"{text}: is a file; accepted: a folder")
    return path


@contextmanager
def _written(path: str, content: bytes | memoryview) -> Iterator[tuple[str, str]]:
    """Write the content to a temporary file in the same folder; yields its path and `path`."""
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f"{_HIDDEN}{uuid.uuid4().hex}")
    try:
        with _naming(path):
            os.makedirs(folder, exist_ok=True)
            with open(temporary, "wb") as stream:
                stream.write(content)
            yield temporary, path
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock of the folder of `path` against other processes.

    The lock ends with its process. The lock file is never removed: removing it would break the lock of another process.
    """
    with open(os.path.join(os.path.dirname(path), f"{_HIDDEN}lock"), "wb") as stream:
        # Some shared file systems have no locks; there the time between comparing and replacing is unguarded.
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Put the path into every OSError: a full disk names no file, other errors name the temporary file.

    Raises:
        InputError: the path is longer than the file system allows.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{path}: is too long a name for this file system; accepted: a shorter one") from None
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, path) from None
