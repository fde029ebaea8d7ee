"""Objects of an S3 or GCS bucket, through obstore."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.retry import TransientError, persist
from mtneuro_ray.storage.object_stores import CREDENTIALS, open_store

if TYPE_CHECKING:
    from obstore import UpdateVersion

_T = TypeVar("_T")

# How long a bucket may be away before what was asked of it fails, and the longest pause within that: less than the
# silence after which a driver is taken for dead.
_PATIENCE_S = 60.0
_LONGEST_PAUSE_S = 8.0
_PART_BYTES = 8 * 2**20
_ENDPOINTS = {
    "s3": "an S3 server's address, in AWS_ENDPOINT_URL or as ?endpoint_override=HOST:PORT&scheme=http, or neither for "
    "AWS itself",
    "gs": "a GCS server's address as ?endpoint_override=HOST:PORT&scheme=http, or none for Google's",
}


class Bucket:
    """Objects by key; the version of an object is what the service calls it.

    Args:
        address: `s3://BUCKET/KEY` or `gs://BUCKET/KEY`, with options behind `?`.

    Raises:
        InputError: the address names no bucket, has an unknown option, or holds credentials.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._scheme, self._name, self._store = open_store(address)

    def read(self, key: str) -> bytes:
        """The whole object.

        Raises:
            FileNotFoundError: there is none.
        """
        return self.read_with_version(key)[0]

    def read_with_version(self, key: str) -> tuple[bytes, UpdateVersion]:
        """The whole object, and the version that `replace_if` compares."""

        def get() -> tuple[bytes, UpdateVersion]:
            found = obstore.get(self._store, key)
            meta = found.meta
            version: Any = {name: value for name in ("e_tag", "version") if (value := meta.get(name)) is not None}
            return bytes(found.bytes()), version

        return self._ask(key, get)

    def write(self, key: str, content: bytes | memoryview) -> None:
        """Write an object; it appears once its upload is complete."""
        flat = content if isinstance(content, bytes) else content.cast("B")
        self._ask(key, lambda: obstore.put(self._store, key, flat, chunk_size=_PART_BYTES))

    def create(self, key: str, content: bytes) -> bool:
        """Write an object where there is none; whether it was written."""
        return self._put_if(key, content, "create")

    def replace_if(self, key: str, content: bytes, version: UpdateVersion) -> bool:
        """Replace an object that still has this version; whether it was replaced."""
        return self._put_if(key, content, version)

    def _put_if(self, key: str, content: bytes, mode: Any) -> bool:
        def put() -> bool:
            try:
                obstore.put(self._store, key, content, mode=mode)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return False
            return True

        if self._ask(key, put):
            return True
        # A request that is repeated because its answer was lost finds what it wrote itself.
        with suppress(FileNotFoundError):
            return self.read(key) == content
        return False

    def exists(self, key: str) -> bool:
        """Whether there is an object."""
        try:
            self._ask(key, lambda: obstore.head(self._store, key))
        except FileNotFoundError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        with suppress(FileNotFoundError):
            self._ask(key, lambda: obstore.delete(self._store, key))

    def delete_tree(self, key: str) -> None:
        """Remove all objects whose keys begin with this one and `/`."""

        def delete() -> None:
            for batch in obstore.list(self._store, key):
                obstore.delete(self._store, [found["path"] for found in batch])

        self._ask(key, delete)

    def list(self, key: str) -> list[str]:
        """Names of the objects right under a key."""
        found = self._ask(key, lambda: obstore.list_with_delimiter(self._store, key or None))
        return [item["path"].rpartition("/")[2] for item in found["objects"]]

    def stamps(self, key: str) -> dict[str, str]:
        """Name of each object right under a key -> its ETag."""
        found = self._ask(key, lambda: obstore.list_with_delimiter(self._store, key or None))
        return {item["path"].rpartition("/")[2]: str(item["e_tag"] or "") for item in found["objects"]}

    def check(self, key: str) -> None:
        """Ask once, without retrying, whether the bucket is there and lets us in.

        Raises:
            InputError: there is no such bucket, or it refuses the credentials.
            MTNeuroError: nobody answers at its address.
        """
        where = f"{self.address}: "
        try:
            next(iter(obstore.list(self._store, key or None, chunk_size=1)), None)
        except (BaseError, OSError) as error:
            reason = _reason(error)
            if reason.startswith("404"):
                raise InputError(
                    f"{where}there is no bucket {self._name!r}; accepted: one that exists, in the region it is in"
                ) from None
            if _is_refusal(error):
                raise InputError(
                    f"{where}bucket {self._name!r} refuses these credentials; accepted: {CREDENTIALS[self._scheme]}"
                ) from None
            if _is_passing(error):
                raise MTNeuroError(
                    f"{where}nobody answers for bucket {self._name!r} ({reason}); accepted: {_ENDPOINTS[self._scheme]}"
                ) from None
            raise InputError(f"{where}bucket {self._name!r}: {reason}; accepted: a bucket that can be listed") from None

    def _ask(self, key: str, action: Callable[[], _T]) -> _T:
        """Ask again while the bucket is away for a moment; what is wrong then is an OSError that names the object.

        Raises:
            FileNotFoundError: there is no such object.
            OSError: the bucket refuses, or stays away.
        """
        where = f"{self._scheme}://{self._name}/{key}"

        def attempt() -> _T:
            try:
                return action()
            except BaseError as error:
                if _is_passing(error):
                    raise TransientError(_reason(error)) from None
                raise

        try:
            return persist(attempt, where, patience_s=_PATIENCE_S, longest_pause_s=_LONGEST_PAUSE_S)
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, _reason(error), where) from None
        except TransientError as error:
            raise OSError(errno.EIO, error.reason, where) from None
        except BaseError as error:
            raise OSError(errno.EACCES if _is_refusal(error) else errno.EIO, _reason(error), where) from None


def _reason(error: BaseException) -> str:
    """What went wrong in a few words: status and code of an answer, or what obstore says in its first paragraph."""
    text = " ".join(str(error).partition("\n\nDebug source")[0].split())
    status = re.search(r"status code: (\d+[^:<]*)", text)
    if status is None:
        return text.rpartition(" - ")[2]
    code = re.search(r"<Code>(\w+)</Code>", text)
    return status[1].strip() + (f" ({code[1]})" if code else "")


def _is_passing(error: BaseException) -> bool:
    return re.match(r"5\d\d |429 |HTTP error", _reason(error)) is not None


def _is_refusal(error: BaseException) -> bool:
    # Without any credentials, obstore asks the instance's metadata service for some.
    return re.match(r"40[13] ", _reason(error)) is not None or "169.254.169.254" in str(error)
