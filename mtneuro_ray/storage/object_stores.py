"""Opening the obstore store of an `s3://` or `gs://` address, with the credentials and region of the environment."""

from __future__ import annotations

import configparser
import os
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from obstore.store import GCSStore, S3Store

from mtneuro_ray.errors import InputError

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws/credentials, or the instance's role, that may list the "
    "bucket, and read, write and delete in it",
    "gs": "GOOGLE_APPLICATIONCREDENTIALS, `gcloud auth application-default login`, or the instance's account, that "
    "may list the bucket, and read, write and delete in it",
}
_OPTIONS = {"s3": ("endpoint_override", "scheme", "region"), "gs": ("endpoint_override", "scheme")}


def open_store(address: str) -> tuple[str, str, S3Store | GCSStore]:
    """Scheme, bucket and store of an address.

    Raises:
        InputError: the address names no bucket, has an unknown option, or holds credentials.
    """
    parts = urlsplit(address)
    scheme, name = parts.scheme, parts.netloc.removeprefix("anonymous@")
    if scheme not in _OPTIONS or not name:
        raise InputError(f"{address}: names no bucket; accepted: a path, s3://... or gs://...")
    if "@" in name:
        # Addresses are printed, and written into Ray's files. Not this one.
        raise InputError(
            f"{scheme}://...@{name.rpartition('@')[2]}: holds credentials; accepted: {CREDENTIALS[scheme]}"
        )
    options = dict(parse_qsl(parts.query))
    for option in options:
        if option not in _OPTIONS[scheme]:
            raise InputError(f"{address}: {option}: unknown option; accepted: {', '.join(_OPTIONS[scheme])}")
    opened = _open_s3 if scheme == "s3" else _open_gcs
    return scheme, name, opened(name, options, anonymous=name != parts.netloc)


def _open_s3(name: str, options: dict[str, str], *, anonymous: bool) -> S3Store:
    endpoint = _endpoint(options) or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    profile = _profile()
    config: Any = {"region": options.get("region") or profile.pop("region", None)}
    if not config["region"]:
        config["region"] = "us-east-1" if endpoint else _region_of(name)
    if endpoint:
        config["endpoint"] = endpoint
    if anonymous:
        config["skip_signature"] = True
    elif "AWS_ACCESS_KEY_ID" not in os.environ:
        config |= profile
    return S3Store(name, config=config, **_manners(endpoint))


def _open_gcs(name: str, options: dict[str, str], *, anonymous: bool) -> GCSStore:
    endpoint = _endpoint(options)
    config: Any = {"base_url": endpoint} if endpoint else {}
    if anonymous:
        config["skip_signature"] = True
    return GCSStore(name, config=config, **_manners(endpoint))


def _endpoint(options: dict[str, str]) -> str | None:
    host = options.get("endpoint_override")
    return f"{options.get('scheme', 'https')}://{host}" if host else None


def _manners(endpoint: str | None) -> dict[str, Any]:
    """How a store connects: large objects take their time, silence does not; `persist` does most of the retrying."""
    return {
        "client_options": {
            "allow_http": (endpoint or "").startswith("http:"),
            "connect_timeout": timedelta(seconds=5),
            "read_timeout": timedelta(seconds=30),
            "timeout": timedelta(hours=6),
        },
        "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
    }


def _profile() -> dict[str, str]:
    """Keys and region of the profile in use, from AWS's shared files, which obstore does not read."""
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
    """The region that AWS says a bucket is in; it says so to anybody."""
    request = urllib.request.Request(f"https://s3.amazonaws.com/{bucket}", method="HEAD")
    try:
        headers = urllib.request.urlopen(request, timeout=5).headers
    except urllib.error.HTTPError as error:
        headers = error.headers
    except OSError:
        return "us-east-1"
    return str(headers.get("x-amz-bucket-region") or "us-east-1")
