"""Addresses of chunked arrays, and tensorstore operations on them: time limits, bounded retries, errors in one line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tensorstore as ts

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.retry import TransientError, persist

# tensorstore's drivers of each scheme, in the order to try.
DRIVERS = {"zarr": ("zarr3", "zarr"), "n5": ("n5",), "precomputed": ("neuroglancer_precomputed",)}
_ATTRIBUTES = {"zarr": ("zarr.json", ".zattrs"), "n5": ("attributes.json",), "precomputed": ("info",)}
# Seconds that one operation may take, in addition to its voxels at `SLOWEST_BYTES_PER_S`.
TIMEOUT_S = 60.0
SLOWEST_BYTES_PER_S = 2**20
# Largest number of tries of an operation on a remote array.
ATTEMPTS = 3
BACKOFF_S = 1.0

_REMOTE = re.compile(r"(s3|gs|https?)://[^/?#]+(/[^?#]*)?")
_HOPELESS = ("NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED", "INVALID_ARGUMENT", "OUT_OF_RANGE")
_STATUS = re.compile(r"[A-Z_]+: ")


@dataclass(frozen=True)
class Address:
    """The place of an array.

    Attributes:
        scheme: `zarr`, `n5` or `precomputed`.
        place: Absolute folder, or `s3://`, `gs://`, `http://` or `https://` address, without a last slash.
        scale: Number of the scale of a precomputed volume.
    """

    scheme: str
    place: str
    scale: int = 0

    @classmethod
    def parse(cls, uri: str, base: Path) -> Address:
        """The address in `zarr://...`, `n5://...` or `precomputed://...`; relative folders start at `base`.

        Raises:
            InputError: it is malformed, or holds a user, password or query, which would be stored with results.
        """
        scheme, _, rest = uri.partition("://")
        accepted = f"accepted: {scheme}:// and a folder or an s3://, gs://, http:// or https:// address"
        if not rest or scheme not in DRIVERS:
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
        """Whether the array is read over a network."""
        return not self.place.startswith("/")

    def at(self, path: str) -> Address:
        """The address of a relative path, such as a level of a pyramid."""
        return Address(self.scheme, f"{self.place}/{path}".rstrip("/"))

    def parents(self, most: int) -> list[tuple[Address, str]]:
        """Up to `most` folders above this one, nearest first, each with the path back from it."""
        found: list[tuple[Address, str]] = []
        place, path = self.place, ""
        while len(found) < most:
            place, _, name = place.rpartition("/")
            if not place or place.endswith("/"):  # the root, or the host of `s3://HOST`
                break
            path = f"{name}/{path}" if path else name
            found.append((Address(self.scheme, place), path))
        return found

    def open(self, fill: bool) -> Any:
        """The tensorstore array as it is stored, or None where there is none.

        Args:
            fill: Whether chunks that are not stored read as the fill value; otherwise they are an error.
        """
        for driver in DRIVERS[self.scheme]:
            spec = {"driver": driver, "kvstore": self._kvstore, "fill_missing_data_reads": fill}
            if self.scale:
                spec["scale_index"] = self.scale
            try:
                return self.finish(partial(_begin_open, spec), "metadata")
            except FileNotFoundError:
                continue
        return None

    def attributes(self) -> dict[str, Any]:
        """User attributes of a Zarr or N5 node, or the `info` of a precomputed volume; empty where there are none.

        Raises:
            InputError: they are no JSON object.
            SourceError: they could not be read.
        """
        for key in _ATTRIBUTES[self.scheme]:
            content = self._content(key)
            if content is None:
                continue
            try:
                value = json.loads(content)
                found = value.get("attributes", {}) if key == "zarr.json" else value
                found.get("multiscales")
            except Exception as error:  # not JSON, no object, or nested too deeply
                problem = f"unusable ({type(error).__name__}); accepted: a JSON object"
                raise InputError(f"{self.uri}/{key}: {problem}") from None
            return dict(found)
        return {}

    def finish(self, start: Callable[[], Any], what: str, num_bytes: int = 0) -> Any:
        """The result of a tensorstore operation, within the time limit and number of attempts.

        Args:
            start: Begins the operation; called once for each attempt.
            what: Names the operation in errors.
            num_bytes: Size of the expected result.

        Raises:
            FileNotFoundError: there is nothing to open or read.
            InputError: tensorstore cannot use the address.
            SourceError: anything else went wrong.
        """
        timeout_s = TIMEOUT_S + num_bytes / SLOWEST_BYTES_PER_S
        attempts = ATTEMPTS if self.remote else 1

        def attempt() -> Any:
            try:
                return start().result(timeout=timeout_s)
            except TimeoutError:
                raise TransientError(f"no answer within {timeout_s:.3g} s") from None
            except ValueError as error:  # tensorstore's one type of error; its message starts with a status
                # Without the specs, bodies and source locations that follow in brackets.
                reason = " ".join(re.split(r" \[\w+[ =]+'", str(error))[0].split())
            if reason.startswith("NOT_FOUND") or '"node_type"' in reason:  # the latter of a group in Zarr 3
                raise FileNotFoundError(reason)
            if not _STATUS.match(reason):
                raise InputError(f"{self.uri}: {reason}")
            if reason.startswith(_HOPELESS):
                raise SourceError(f"{self.uri}: {what}: {reason}")
            raise TransientError(reason)

        try:
            return persist(attempt, f"{self.uri}: {what}", attempts, BACKOFF_S)
        except TransientError as error:
            tries = f" in {attempts} attempts" if self.remote else ""
            raise SourceError(f"{self.uri}: {what} could not be read{tries}: {error.reason}") from None

    @property
    def _kvstore(self) -> Any:
        place = self.place.rstrip("/") + "/"
        return place if self.remote else {"driver": "file", "path": place}

    def _content(self, key: str) -> bytes | None:
        try:
            store = self.finish(lambda: ts.KvStore.open(self._kvstore, context=_context()), key)
            read = self.finish(lambda: store.read(key), key)
        except FileNotFoundError:
            return None
        except SourceError as error:
            # A bucket that may not be listed answers so for a key that does not exist.
            if "PERMISSION_DENIED" in str(error):
                return None
            raise
        return bytes(read.value) if read.state == "value" else None


def _begin_open(spec: dict[str, Any]) -> Any:
    return ts.open(spec, read=True, open=True, context=_context())


def _context() -> Any:
    """Caches and connections of one opening; single requests are retried once by tensorstore itself, not 32 times."""
    retries = {"max_retries": 1, "initial_delay": "500ms", "max_delay": "8s"}
    return ts.Context({f"{kind}_request_retries": retries for kind in ("http", "s3", "gcs")})
