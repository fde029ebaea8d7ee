"""Files of this machine, or of a file system that it shares with others."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mtneuro_ray.errors import InputError

# Files whose names begin so are ours while we write, and never listed.
_HIDDEN = ".partial-"
# File systems round the time of a change to at most this.
_COARSE_NS = 2 * 10**9
# What a file system without hard links answers to one.
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EMLINK}


class LocalFiles:
    """Files by absolute path; the version of a file is the digest of its content."""

    def read(self, path: str) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: there is none.
        """
        with _naming(path), open(path, "rb") as stream:
            return stream.read()

    def read_with_version(self, path: str) -> tuple[bytes, str]:
        """The whole file, and the version that `replace_if` compares."""
        content = self.read(path)
        return content, hashlib.sha256(content).hexdigest()

    def write(self, path: str, content: bytes | memoryview) -> None:
        """Write a file that appears whole."""
        with _written(path, content) as temporary:
            os.replace(temporary, path)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file where there is none; whether it was written."""
        with _written(path, content) as temporary:
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

    def replace_if(self, path: str, content: bytes, version: str) -> bool:
        """Replace a file that still has this version; whether it was replaced."""
        with _written(path, content) as temporary, _locked(path):
            try:
                if self.read_with_version(path)[1] != version:
                    return False
            except FileNotFoundError:
                return False
            os.replace(temporary, path)
        return True

    def exists(self, path: str) -> bool:
        """Whether there is a file."""
        with _naming(path):
            return os.path.isfile(path)

    def delete(self, path: str) -> None:
        """Remove a file, if there is one."""
        with suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(path)

    def delete_tree(self, path: str) -> None:
        """Remove a folder and all it holds, if there is one."""
        if os.path.isdir(path):
            shutil.rmtree(path)

    def list(self, path: str) -> list[str]:
        """Names of the files in a folder."""
        try:
            with os.scandir(path) as entries:
                return [entry.name for entry in entries if not entry.name.startswith(_HIDDEN) and entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def stamps(self, path: str) -> dict[str, str]:
        """Name of each file in a folder -> its size and time of change; empty where it changed just now."""
        youngest, found = time.time_ns() - _COARSE_NS, {}
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
            for entry in entries:
                if not entry.name.startswith(_HIDDEN) and entry.is_file():
                    # It may be gone by now.
                    with suppress(FileNotFoundError):
                        status = entry.stat()
                        stamp = f"{status.st_size} {status.st_mtime_ns}"
                        found[entry.name] = stamp if status.st_mtime_ns < youngest else ""
        return found


@contextmanager
def _written(path: str, content: bytes | memoryview) -> Iterator[str]:
    """A temporary file with the content, beside the file that it becomes."""
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f"{_HIDDEN}{uuid.uuid4().hex}")
    try:
        with _naming(path):
            os.makedirs(folder, exist_ok=True)
            with open(temporary, "wb") as stream:
                stream.write(content)
            yield temporary
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Keep other processes from replacing the file under a condition.

    The lock ends with the process that holds it. Its file stays: whoever removed it would break the lock of another.
    """
    with open(os.path.join(os.path.dirname(path), f"{_HIDDEN}lock"), "wb") as stream:
        # Some shared file systems have no locks; there the time between comparing and replacing is unguarded.
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Let an error name the file: that of a full disk names none, others the temporary file.

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
