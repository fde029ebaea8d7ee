"""A folder on this machine or in a bucket, with writes that are seen whole or not at all."""

from __future__ import annotations

import copy
import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtneuro_ray.errors import InputError, printable
from mtneuro_ray.storage.local import LocalFiles

if TYPE_CHECKING:
    from mtneuro_ray.storage.bucket import Bucket

_ACCEPTED = "accepted: a path, s3://... or gs://..."


class Folder:
    """Files under one root, named by relative paths with `/`.

    Args:
        root: A path, in which `~` is the home folder, or the address of a bucket: `s3://BUCKET/KEY` or
            `gs://BUCKET/KEY`, with `?endpoint_override=HOST:PORT&scheme=http` for another server than AWS or Google.

    Raises:
        InputError: the address names no folder or bucket, or holds credentials.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        text = os.fspath(root)
        self._files: LocalFiles | Bucket
        if "://" in text:
            # Here and not above: most commands never see a bucket.
            from mtneuro_ray.storage.bucket import Bucket

            self._files, self._root, self.root = Bucket(text), _key_of(text), text
        else:
            self._files, self._root = LocalFiles(), _absolute(text)
            self.root = self._root
        self.is_local = isinstance(self._files, LocalFiles)

    def __truediv__(self, name: str) -> Folder:
        # The options of an address (`?endpoint_override=...`) stay behind its path.
        base, mark, options = self.root.partition("?" if "://" in self.root else "\0")
        below = copy.copy(self)
        below.root, below._root = posixpath.join(base, name) + mark + options, self._path(name)
        return below

    def __reduce__(self) -> tuple[type[Folder], tuple[str]]:
        return (Folder, (self.root,))

    def _path(self, name: str) -> str:
        if name.startswith("/") or ".." in name.split("/"):
            raise InputError(f"{self.root}: {name!r} leads out of the folder; accepted: a name in it")
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
        return self._files.read(self._path(name))

    def read_with_version(self, name: str) -> tuple[bytes, Any]:
        """The whole file, and its version for `replace_if`.

        Raises:
            FileNotFoundError: there is none.
        """
        return self._files.read_with_version(self._path(name))

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Write a file such that no reader ever sees a part of it."""
        self._files.write(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file only where there is none; of several that try, exactly one is told True."""
        return self._files.create(self._path(name), content)

    def replace_if(self, name: str, content: bytes, version: Any) -> bool:
        """Replace a file only if it is still the one that `read_with_version` read; whether it was replaced."""
        return self._files.replace_if(self._path(name), content, version)

    def exists(self, name: str) -> bool:
        """Whether the file is there; a folder is no file."""
        return self._files.exists(self._path(name))

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        self._files.delete(self._path(name))

    def delete_tree(self, name: str) -> None:
        """Remove a folder and what it holds; nothing happens where there is none."""
        self._files.delete_tree(self._path(name))

    def list(self, suffix: str = "") -> list[str]:
        """Names of the finished files right under the root that end in `suffix`, sorted."""
        return sorted(name for name in self._files.list(self._root) if name.endswith(suffix))

    def stamps(self, suffix: str = "") -> dict[str, str]:
        """The same names, each with a text that changes when the file is replaced.

        The text is empty for a file so young that a replacement might not show.
        """
        return {name: stamp for name, stamp in self._files.stamps(self._root).items() if name.endswith(suffix)}

    def check(self) -> None:
        """Ask whether the bucket is there and lets us in, so that a command ends on its first line. No folder is asked.

        Raises:
            InputError: there is no such bucket, or it refuses the credentials.
            MTNeuroError: nobody answers at its address.
        """
        if not isinstance(self._files, LocalFiles):
            self._files.check(self._root)

    def __str__(self) -> str:
        return self.root


def _key_of(address: str) -> str:
    key = address.partition("://")[2].partition("?")[0].partition("/")[2].strip("/")
    if key and any(part in ("", ".", "..") for part in key.split("/")):
        raise InputError(f"{address}: has an empty part or dots in its path; accepted: s3://BUCKET/FOLDER/FOLDER")
    return key


def _absolute(text: str) -> str:
    """A path of this machine, absolute, that can be written and printed."""
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
