"""A folder in an S3 or GCS bucket, through obstore, with the credentials and region of the environment."""

from __future__ import annotations

import configparser
import errno
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import GCSStore, S3Store

from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.retry import TransientError, persist
from mtneuro_ray.storage.folder import Folder

_T = TypeVar("_T")

# Seconds for which a failed request is repeated, and the longest pause between two attempts: less than the silence
# after which a driver counts as dead.
_PATIENCE_S = 60.0
_LONGEST_PAUSE_S = 8.0
_PART_BYTES = 8 * 2**20
_OPTIONS = {"s3": ("endpoint_override", "scheme", "region"), "gs": ("endpoint_override", "scheme")}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws/credentials, or the instance's role, that may list the "
    "bucket, and read, write and delete in it",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or the instance's account, that "
    "may list the bucket, and read, write and delete in it",
}
_ENDPOINTS = {
    "s3": "an S3 server's address, in AWS_ENDPOINT_URL or as ?endpoint_override=HOST:PORT&scheme=http, or neither for "
    "AWS itself",
    "gs": "a GCS server's address as ?endpoint_override=HOST:PORT&scheme=http, or none for Google's",
}


class BucketFolder(Folder):
    """Objects whose keys begin with one key; the version of an object is its ETag and the service's version id."""

    is_local = False

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)
        self._scheme, self._bucket, self._store = open_store(self.root)
        self._base = _key_of(self.root)

    @property
    def local_path(self) -> Path:
        """No path: raises InputError."""
        raise InputError(f"{self.root}: is not on this machine; accepted: a path")

    def read(self, name: str) -> bytes:
        """The content of an object."""
        return self.read_with_version(name)[0]

    def read_with_version(self, name: str) -> tuple[bytes, Any]:
        """The content of an object, and its version."""

        def get(key: str) -> tuple[bytes, Any]:
            found = obstore.get(self._store, key)
            version = {part: value for part in ("e_tag", "version") if (value := found.meta.get(part)) is not None}
            return bytes(found.bytes()), version

        return self._ask(self._path(name), get)

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Write an object, in parts if it is large; it appears when the upload is complete."""
        flat = content if isinstance(content, bytes) else content.cast("B")
        self._ask(self._path(name), lambda key: obstore.put(self._store, key, flat, chunk_size=_PART_BYTES))

    def create(self, name: str, content: bytes) -> bool:
        """Put an object on the condition that it does not exist."""
        return self._put_if(name, content, "create")

    def replace_if(self, name: str, content: bytes, version: Any) -> bool:
        """Put an object on the condition that it has this version."""
        return self._put_if(name, content, version)

    def _put_if(self, name: str, content: bytes, mode: Any) -> bool:
        def put(key: str) -> bool:
            try:
                obstore.put(self._store, key, content, mode=mode)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return False
            return True

        if self._ask(self._path(name), put):
            return True
        # If an answer was lost, the repeated request finds what the first one wrote.
        with suppress(FileNotFoundError):
            return self.read(name) == content
        return False

    def exists(self, name: str) -> bool:
        """True if the object exists."""
        try:
            self._ask(self._path(name), lambda key: obstore.head(self._store, key))
        except FileNotFoundError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Delete an object, if it exists."""
        with suppress(FileNotFoundError):
            self._ask(self._path(name), lambda key: obstore.delete(self._store, key))

    def delete_tree(self, name: str) -> None:
        """Delete all objects whose keys begin with this name and `/`."""

        def delete(key: str) -> None:
            for batch in obstore.list(self._store, key):
                obstore.delete(self._store, [found["path"] for found in batch])

        self._ask(self._path(name), delete)

    def list(self, suffix: str = "") -> list[str]:
        """Sorted names of the objects directly under the root."""
        return sorted(self.stamps(suffix))

    def stamps(self, suffix: str = "") -> dict[str, str]:
        """ETag of each object directly under the root, by name."""
        found = self._ask(self._base, lambda key: obstore.list_with_delimiter(self._store, key or None))
        stamps = {item["path"].rpartition("/")[2]: str(item["e_tag"] or "") for item in found["objects"]}
        return {name: stamp for name, stamp in stamps.items() if name.endswith(suffix)}

    def check(self) -> None:
        """List the bucket once, without a second attempt."""
        where = f"{self.root}: "
        try:
            next(iter(obstore.list(self._store, self._base or None, chunk_size=1)), None)
        except (BaseError, OSError) as error:
            reason = _reason(error)
            if reason.startswith("404"):
                raise InputError(
                    f"{where}there is no bucket {self._bucket!r}; accepted: one that exists, in the region it is in"
                ) from None
            if _is_refusal(error):
                raise InputError(
                    f"{where}bucket {self._bucket!r} refuses these credentials; accepted: {_CREDENTIALS[self._scheme]}"
                ) from None
            if _is_passing(error):
                raise MTNeuroError(
                    f"{where}nobody answers for bucket {self._bucket!r} ({reason}); accepted: "
                    f"{_ENDPOINTS[self._scheme]}"
                ) from None
            raise InputError(
                f"{where}bucket {self._bucket!r}: {reason}; accepted: a bucket that can be listed"
            ) from None

    def _ask(self, key: str, action: Callable[[str], _T]) -> _T:
        """Call `action(key)`, again while the service fails for a moment; a lasting error becomes an OSError.

        Raises:
            FileNotFoundError: the object does not exist.
            OSError: the bucket refuses, or does not answer for `_PATIENCE_S`.
        """
        where = f"{self._scheme}://{self._bucket}/{key}"

        def attempt() -> _T:
            try:
                return action(key)
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
    """Status and code of the service's answer, or else the last part of the first paragraph of obstore's message."""
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


def _key_of(address: str) -> str:
    key = address.partition("://")[2].partition("?")[0].partition("/")[2].strip("/")
    if key and any(part in ("", ".", "..") for part in key.split("/")):
        raise InputError(f"{address}: has an empty part or dots in its path; accepted: s3://BUCKET/FOLDER/FOLDER")
    return key


def open_store(address: str) -> tuple[str, str, S3Store | GCSStore]:
    """Scheme, bucket and obstore store of an `s3://` or `gs://` address.

    Raises:
        InputError: the address names no bucket, has an unknown option, or holds credentials.
    """
    parts = urlsplit(address)
    scheme, name = parts.scheme, parts.netloc.removeprefix("anonymous@")
    if scheme not in _OPTIONS or not name:
        raise InputError(f"{address}: names no bucket; accepted: a path, s3://... or gs://...")
    if "@" in name:
        # Addresses are printed and written into Ray's files; this one is not, because it holds a password.
        raise InputError(
            f"{scheme}://...@{name.rpartition('@')[2]}: holds credentials; accepted: {_CREDENTIALS[scheme]}"
        )
    options = dict(parse_qsl(parts.query))
    for option in options:
        if option not in _OPTIONS[scheme]:
            raise InputError(f"{address}: {option}: unknown option; accepted: {', '.join(_OPTIONS[scheme])}")
    host = options.get("endpoint_override")
    endpoint = f"{options.get('scheme', 'https')}://{host}" if host else None
    if scheme == "s3":
        endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    anonymous: dict[str, Any] = {"skip_signature": True} if name != parts.netloc else {}
    # A large object may take hours; a silent connection may not. `persist` repeats what fails for longer than seconds.
    manners: dict[str, Any] = {
        "client_options": {
            "allow_http": (endpoint or "").startswith("http:"),
            "connect_timeout": timedelta(seconds=5),
            "read_timeout": timedelta(seconds=30),
            "timeout": timedelta(hours=6),
        },
        "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
    }
    if scheme == "gs":
        config: Any = anonymous | ({"base_url": endpoint} if endpoint else {})
        return scheme, name, GCSStore(name, config=config, **manners)
    return scheme, name, S3Store(name, config=_s3_config(name, options, endpoint, anonymous), **manners)


def _s3_config(name: str, options: dict[str, str], endpoint: str | None, anonymous: dict[str, Any]) -> Any:
    profile = _profile()
    region = options.get("region") or profile.pop("region", None)
    config = {"region": region or ("us-east-1" if endpoint else _region_of(name)), **anonymous}
    if endpoint:
        config["endpoint"] = endpoint
    return config if anonymous or "AWS_ACCESS_KEY_ID" in os.environ else profile | config


def _profile() -> dict[str, str]:
    """Keys and region of the current profile in AWS's shared files, which obstore does not read."""
    name = os.environ.get("AWS_PROFILE", "default")
    home = Path("~/.aws").expanduser()
    found: dict[str, str] = {}
    paths = (
        (os.environ.get("AWS_CONFIG_FILE") or home / "config", {f"profile {name}", name}),
        (os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials", {name}),
    )
    for path, sections in paths:
        files = configparser.ConfigParser(interpolation=None)
        with suppress(configparser.Error, UnicodeDecodeError):
            files.read(path, encoding="utf-8")
        for section in sections & set(files.sections()):
            found |= dict(files.items(section))
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        found["region"] = region
    names = ("region", "aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name.removeprefix("aws_"): found[name] for name in names if name in found}


@lru_cache
def _region_of(bucket: str) -> str:
    """The region of an AWS bucket, which AWS tells without credentials."""
    request = urllib.request.Request(f"https://s3.amazonaws.com/{bucket}", method="HEAD")
    try:
        headers = urllib.request.urlopen(request, timeout=5).headers
    except urllib.error.HTTPError as error:
        headers = error.headers
    except OSError:
        return "us-east-1"
    return str(headers.get("x-amz-bucket-region") or "us-east-1")
