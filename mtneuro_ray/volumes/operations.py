"""tensorstore operations with a time limit, bounded retries and errors in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import tensorstore as ts

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.retry import TransientError, persist
from mtneuro_ray.volumes.address import Address

SLOWEST_BYTES_PER_S = 2**20
BACKOFF_S = 1.0

_HOPELESS = ("NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED", "INVALID_ARGUMENT", "OUT_OF_RANGE")
_STATUS = re.compile(r"[A-Z_]+: ")


def new_context() -> Any:
    """Caches and connections of one opening; single requests are retried once by tensorstore itself, not 32 times."""
    retries = {"max_retries": 1, "initial_delay": "500ms", "max_delay": "8s"}
    return ts.Context({f"{kind}_request_retries": retries for kind in ("http", "s3", "gcs")})


def finish(start: Callable[[], Any], address: Address, what: str, num_bytes: int = 0) -> Any:
    """The result of a tensorstore operation, within the address's time limit and attempts.

    Raises:
        FileNotFoundError: what was to be opened or read does not exist.
        InputError: tensorstore can make nothing of the address.
        SourceError: anything else went wrong.
    """
    timeout_s = address.timeout_s + num_bytes / SLOWEST_BYTES_PER_S
    attempts = address.attempts if address.remote else 1

    def attempt() -> Any:
        try:
            return start().result(timeout=timeout_s)
        except TimeoutError:
            raise TransientError(f"no answer within {timeout_s:.3g} s") from None
        except ValueError as error:  # tensorstore's one type of error; its message starts with a status
            reason = _one_line(error)
        if reason.startswith("NOT_FOUND") or '"node_type"' in reason:  # the latter of a group in Zarr 3
            raise FileNotFoundError(reason)
        if not _STATUS.match(reason):
            raise InputError(f"{address.uri}: {reason}")
        if reason.startswith(_HOPELESS):
            raise SourceError(f"{address.uri}: {what}: {reason}")
        raise TransientError(reason)

    try:
        return persist(attempt, f"{address.uri}: {what}", attempts, BACKOFF_S)
    except TransientError as error:
        tries = f" in {attempts} attempts" if address.remote else ""
        raise SourceError(f"{address.uri}: {what} could not be read{tries}: {error.reason}") from None


def read_attributes(address: Address) -> dict[str, Any]:
    """User attributes of a Zarr node, from `zarr.json` or `.zattrs`; empty where there are none.

    Raises:
        InputError: they are no JSON object.
        SourceError: they could not be read.
    """
    for key in ("zarr.json", ".zattrs"):
        content = _content(address, key)
        if content is None:
            continue
        try:
            value = json.loads(content)
            found = value.get("attributes", {}) if key == "zarr.json" else value
            found.get("multiscales")
        except Exception as error:  # not JSON, no object, or nested too deeply
            problem = f"unusable ({type(error).__name__}); accepted: a JSON object"
            raise InputError(f"{address.uri}/{key}: {problem}") from None
        return dict(found)
    return {}


def _content(address: Address, key: str) -> bytes | None:
    place = address.place.rstrip("/") + "/"
    kvstore = place if address.remote else {"driver": "file", "path": place}
    try:
        store = finish(lambda: ts.KvStore.open(kvstore, context=new_context()), address, key)
        read = finish(lambda: store.read(key), address, key)
    except FileNotFoundError:
        return None
    except SourceError as error:
        # A bucket that may not be listed denies what is not there.
        if "PERMISSION_DENIED" in str(error):
            return None
        raise
    return bytes(read.value) if read.state == "value" else None


def _one_line(error: Exception) -> str:
    """Its message without the specs, bodies and source locations that tensorstore appends in brackets."""
    return " ".join(re.split(r" \[\w+[ =]+'", str(error))[0].split())
