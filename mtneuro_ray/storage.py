"""A folder on this machine or in a bucket, with writes that are seen whole or not at all."""

from __future__ import annotations

import os
import posixpath
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from mtneuro_ray.errors import InputError

_TEMPORARY = ".partial-"


class Folder:
    """Files under one root, named by relative paths with `/`.

    Args:
        root: A path, or an address that pyarrow's filesystems open (`s3://bucket/key`, `gs://...`).

    Raises:
        InputError: the address names no filesystem.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        text = os.fspath(root)
        if "://" in text:
            try:
                self._fs, self._root = pafs.FileSystem.from_uri(text)
            except (pa.ArrowException, ValueError, OSError) as error:
                raise InputError(f"{text}: {error}; accepted: a path, s3://... or gs://...") from None
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
        return Folder(posixpath.join(base, name) + mark + options)

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
        with self._fs.open_input_stream(self._path(name), compression=None) as stream:
            content: bytes = stream.read()
        return content

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Write a file such that no reader ever sees a part of it."""
        path = self._path(name)
        if not self.is_local:
            # An object appears in a bucket once its upload is complete.
            with self._fs.open_output_stream(path, compression=None) as stream:
                stream.write(content)
            return
        folder, base = posixpath.split(path)
        os.makedirs(folder, exist_ok=True)
        temporary = posixpath.join(folder, f"{_TEMPORARY}{base}-{uuid.uuid4().hex}")
        try:
            with open(temporary, "wb") as stream:
                stream.write(content)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def exists(self, name: str) -> bool:
        """Whether the file is there."""
        return bool(self._fs.get_file_info(self._path(name)).type == pafs.FileType.File)

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        if self.exists(name):
            self._fs.delete_file(self._path(name))

    def delete_tree(self, name: str) -> None:
        """Remove a folder and what it holds; nothing happens where there is none."""
        if self._fs.get_file_info(self._path(name)).type == pafs.FileType.Directory:
            self._fs.delete_dir(self._path(name))

    def list(self, suffix: str = "") -> list[str]:
        """Names of the finished files right under the root that end in `suffix`, sorted."""
        selector = pafs.FileSelector(self._root, allow_not_found=True)
        return sorted(
            info.base_name
            for info in self._fs.get_file_info(selector)
            if info.type == pafs.FileType.File
            and info.base_name.endswith(suffix)
            and not info.base_name.startswith(_TEMPORARY)
        )

    def __str__(self) -> str:
        return self.root
