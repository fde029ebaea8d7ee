"""A folder on this machine or in a bucket, with writes that are seen whole or not at all."""

from __future__ import annotations

import copy
import os
import posixpath
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
import tenacity

from mtneuro_ray.errors import InputError, MTNeuroError

_T = TypeVar("_T")

_TEMPORARY = ".partial-"
_ACCEPTED = "accepted: a path, s3://... or gs://..."
# How long a bucket may be away before what was asked of it fails, and the longest pause within that: less than the
# silence after which a driver is taken for dead. pyarrow itself retries for 6 s, each time.
_PATIENCE_S = 60.0
_LONGEST_PAUSE_S = 8.0
# In the errors of pyarrow's S3 filesystem, which have no type of their own.
_PASSING = ("NETWORK_CONNECTION", "SLOW_DOWN", "SERVICE_UNAVAILABLE", "INTERNAL_FAILURE", "THROTTLING", "HTTP status 5")
_REFUSED = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "EXPIRED_TOKEN", "HTTP status 403")


class Folder:
    """Files under one root, named by relative paths with `/`.

    Args:
        root: A path, or an address that pyarrow's filesystems open (`s3://bucket/key`, `gs://...`).

    Raises:
        InputError: the address names no filesystem, or holds credentials.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        text = os.fspath(root)
        if "://" in text:
            self._fs, self._root = _open(text)
            self.root = text
        else:
            self._fs, self._root = pafs.LocalFileSystem(), str(Path(text).absolute())
            self.root = self._root
        self.is_local = isinstance(self._fs, pafs.LocalFileSystem)
        if self.is_local and Path(self._root).is_file():
            raise InputError(f"{text}: is a file; accepted: a folder")

    def __truediv__(self, name: str) -> Folder:
        # The options of an address (`?endpoint_override=...`) stay behind its path.
        base, mark, options = self.root.partition("?" if "://" in self.root else "\0")
        below = copy.copy(self)
        below.root, below._root = posixpath.join(base, name) + mark + options, self._path(name)
        return below

    def __reduce__(self) -> tuple[type[Folder], tuple[str]]:
        return (Folder, (self.root,))

    def _path(self, name: str) -> str:
        return posixpath.join(self._root, name)

    @property
    def local_path(self) -> Path:
        """The root as a path of this machine.

        Raises:
            InputError: the root is in a bucket.
        """
        if not self.is_local:
            raise InputError(f"{self.root}: is not on this machine; accepted: a path")
        return Path(self._root)

    def read(self, name: str) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: there is none.
        """
        return self._patiently(lambda: self._read(self._path(name)))

    def _read(self, path: str) -> bytes:
        if self._fs.type_name != "s3":
            with self._fs.open_input_stream(path, compression=None) as stream:
                content: bytes = stream.read()
            return content
        # pyarrow asks for the size, and then for so many bytes: of a larger file that comes in between, for a part.
        while True:
            with self._fs.open_input_stream(path, compression=None) as stream:
                version, content = stream.metadata()["ETag"], stream.read()
            with self._fs.open_input_file(path) as stream:
                if stream.metadata()["ETag"] == version:
                    return content

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Write a file such that no reader ever sees a part of it."""
        path = self._path(name)
        if not self.is_local:
            # An object appears in a bucket once its upload is complete. pyarrow completes also one that an exception
            # has cut short; that of a signal, such as Ctrl-C, comes into the main thread alone.
            _whatever_comes(lambda: self._patiently(lambda: self._upload(path, content)))
            return
        folder, base = posixpath.split(path)
        os.makedirs(folder, exist_ok=True)
        temporary = posixpath.join(folder, f"{_TEMPORARY}{base}-{uuid.uuid4().hex}")
        try:
            with open(temporary, "wb") as stream:
                stream.write(content)
            os.replace(temporary, path)
        except BaseException as error:
            Path(temporary).unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno is not None:
                # That of a full disk names no file, others the temporary one.
                raise OSError(error.errno, error.strerror, path) from None
            raise

    def _upload(self, path: str, content: bytes | memoryview) -> None:
        with self._fs.open_output_stream(path, compression=None) as stream:
            stream.write(content)

    def exists(self, name: str) -> bool:
        """Whether the file is there."""
        return bool(self._type(name) == pafs.FileType.File)

    def _type(self, name: str) -> pafs.FileType:
        return self._patiently(lambda: self._fs.get_file_info(self._path(name)).type)

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        if self.exists(name):
            self._patiently(lambda: self._fs.delete_file(self._path(name)))

    def delete_tree(self, name: str) -> None:
        """Remove a folder and what it holds; nothing happens where there is none."""
        if self._type(name) == pafs.FileType.Directory:
            self._patiently(lambda: self._fs.delete_dir(self._path(name)))

    def list(self, suffix: str = "") -> list[str]:
        """Names of the finished files right under the root that end in `suffix`, sorted."""
        selector = pafs.FileSelector(self._root, allow_not_found=True)
        return sorted(
            info.base_name
            for info in self._patiently(lambda: self._fs.get_file_info(selector))
            if info.type == pafs.FileType.File
            and info.base_name.endswith(suffix)
            and not info.base_name.startswith(_TEMPORARY)
        )

    def check(self) -> None:
        """Ask whether the bucket is there and lets us in, so that a command ends on its first line. No folder is asked.

        Raises:
            InputError: there is no such bucket, or it refuses the credentials.
            MTNeuroError: nobody answers at its address.
        """
        if self.is_local:
            return
        bucket = self._root.partition("/")[0]
        try:
            found = self._fs.get_file_info(bucket).type
        except OSError as error:
            raise _explained(self.root, bucket, error) from None
        if found == pafs.FileType.NotFound:
            raise InputError(
                f"{self}: there is no bucket {bucket!r}; accepted: one that exists, in the region it is in"
            )

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        """Ask again while a bucket is away for a moment."""
        if self.is_local:
            return ask()
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_delay(_PATIENCE_S),
            wait=tenacity.wait_random_exponential(multiplier=1, max=_LONGEST_PAUSE_S),
            retry=tenacity.retry_if_exception(_is_passing),
            reraise=True,
        )
        return retrying(ask)

    def __str__(self) -> str:
        return self.root


def _whatever_comes(action: Callable[[], None]) -> None:
    """Do something in a thread of its own, and return, or raise, only once it is over or can't begin any more."""
    future: Future[None] = Future()

    def work() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            action()
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error)

    try:
        # An executor is abandoned, with its thread at work, where a signal comes while it starts or ends.
        threading.Thread(target=work, daemon=True).start()
        future.result()
    finally:
        if not future.cancel():
            wait([future])


def _open(address: str) -> tuple[pafs.FileSystem, str]:
    """The filesystem of an address, and the path in it.

    Raises:
        InputError: it names none, or holds credentials.
        MTNeuroError: nobody answers at its address.
    """
    parts = urlsplit(address)
    if parts.scheme == "s3":
        if "@" in parts.netloc and ":" in parts.netloc.rpartition("@")[0]:
            # Addresses are printed, and written into Ray's files. Not this one.
            raise InputError(f"s3://...@{parts.netloc.rpartition('@')[2]}: holds credentials; accepted: {_CREDENTIALS}")
        # One request for a small file instead of three; what is wrong is then said when it is closed.
        address += f"{'&' if parts.query else '?'}allow_delayed_open=true"
    try:
        filesystem, path = pafs.FileSystem.from_uri(address)
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{parts.geturl()}: {error}; {_ACCEPTED}") from None
    except OSError as error:
        if parts.scheme == "s3":
            raise _explained(parts.geturl(), parts.netloc, error) from None
        raise InputError(f"{parts.geturl()}: {error}; {_ACCEPTED}") from None
    return filesystem, path


_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws/credentials, or the instance's role, that may list the "
    "bucket, and read, write and delete in it"
)


def _explained(address: str, bucket: str, error: OSError) -> MTNeuroError:
    """An error of the first request to a bucket, in one line."""
    text = str(error)
    if any(mark in text for mark in _REFUSED):
        return InputError(f"{address}: bucket {bucket!r} refuses these credentials; accepted: {_CREDENTIALS}")
    if _is_passing(error):
        return MTNeuroError(
            f"{address}: nobody answers for bucket {bucket!r} ({text.rpartition('Details: ')[2]}); accepted: "
            "an S3 server's address, in AWS_ENDPOINT_URL or as ?endpoint_override=HOST:PORT&scheme=http, or neither "
            "for AWS itself"
        )
    return InputError(f"{address}: bucket {bucket!r}: {text}; accepted: a bucket that can be listed")


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, OSError) and any(mark in str(error) for mark in _PASSING)
