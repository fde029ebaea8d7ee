"""Addresses of chunked volumes: a folder of this machine, or a place in a bucket or on a web server."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from mtneuro_ray.errors import InputError

SCHEMES = ("zarr", "n5", "precomputed")
TIMEOUT_S = 60.0
ATTEMPTS = 3

_REMOTE = re.compile(r"(s3|gs|https?)://[^/?#]+(/[^?#]*)?")


@dataclass(frozen=True)
class Address:
    """Where an array is, and how patiently to read it.

    Attributes:
        scheme: `zarr`, `n5` or `precomputed`.
        place: Absolute folder, or `s3://`, `gs://`, `http://` or `https://` address, without a last slash.
        timeout_s: Seconds that one operation may take, in addition to its voxels at 1 MiB/s.
        attempts: Largest number of tries of an operation on a remote array.
    """

    scheme: str
    place: str
    timeout_s: float = TIMEOUT_S
    attempts: int = ATTEMPTS

    @classmethod
    def parse(cls, uri: str, base: Path) -> Address:
        """The address in `zarr://...`, `n5://...` or `precomputed://...`; relative folders start at `base`.

        Raises:
            InputError: it is malformed, or holds a user, password or query, which would be stored with results.
        """
        scheme, _, rest = uri.partition("://")
        accepted = f"accepted: {scheme}:// and a folder or an s3://, gs://, http:// or https:// address"
        if not rest or scheme not in SCHEMES:
            raise InputError(f"{uri}: malformed; {accepted}")
        if "://" not in rest:
            return cls(scheme, os.path.abspath(base / rest))
        host = rest.partition("://")[2].partition("/")[0]
        if not _REMOTE.fullmatch(rest) or "@" in host:
            shown = rest.partition("?")[0].replace(host, host.rpartition("@")[2])
            raise InputError(f"{scheme}://{shown}: no user, password, query or other service; {accepted}")
        return cls(scheme, rest.rstrip("/"))

    @property
    def uri(self) -> str:
        """Canonical, equal for every way of writing the same address."""
        return f"{self.scheme}://{self.place}"

    @property
    def remote(self) -> bool:
        """Whether a network lies in between."""
        return not self.place.startswith("/")

    def at(self, path: str) -> Address:
        """The address of what lies at a relative path, such as a level of a pyramid."""
        return replace(self, place=f"{self.place}/{path}".rstrip("/"))

    def parents(self, most: int) -> list[tuple[Address, str]]:
        """Up to `most` folders above this one, nearest first, each with the path back from it."""
        start, rest = ("", self.place[1:]) if not self.remote else self.place.split("://", 1)
        parts = rest.split("/")
        prefix = "/" if not self.remote else f"{start}://"
        return [
            (replace(self, place=prefix + "/".join(parts[:-up])), "/".join(parts[-up:]))
            for up in range(1, min(most, len(parts) - 1) + 1)
        ]
