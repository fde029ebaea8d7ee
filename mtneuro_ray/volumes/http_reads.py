"""A time limit on whole HTTP answers, and failed requests in words that hold no header, no URL and no token."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3

from mtneuro_ray.volumes.retry import TransientError

SLOWEST_BYTES_PER_S = 2**17


def limit_answers(session: requests.Session, timeout_s: float) -> None:
    """Make a session's answers arrive within `timeout_s` seconds, beside their length at 128 KiB/s, or fail.

    The `timeout` of `requests` starts anew with every byte: an answer that drips would take for ever.
    """

    def read_whole(response: requests.Response, **_: object) -> None:
        length = int(response.headers.get("Content-Length") or 0)
        deadline = time.monotonic() + timeout_s + length / SLOWEST_BYTES_PER_S
        body = io.BytesIO()
        while part := response.raw.read1(2**20, decode_content=True):
            body.write(part)
            if time.monotonic() > deadline:
                response.close()
                raise requests.Timeout
        body.seek(0)
        response.raw = body

    session.hooks["response"] = [read_whole]


def describe_network_error(
    error: requests.RequestException | urllib3.exceptions.HTTPError, timeout_s: float
) -> TransientError:
    """The reason of a request that got no whole answer; its text is this project's, not the library's."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return TransientError(f"no answer within {timeout_s:g} s", unreachable=True)
    if isinstance(error, requests.ConnectionError):
        return TransientError(f"connection failed: {_innermost_reason(error)}", unreachable=True)
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return TransientError("the answer was cut short")
    return TransientError(f"the answer could not be read ({type(error).__name__})")


def parse_retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as a date; 0 where it says nothing."""
    if value is None:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _innermost_reason(error: BaseException | None) -> str:
    """The operating system's own words, found down the chain of exceptions."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__cause__ or error.__context__
    return "no answer"
