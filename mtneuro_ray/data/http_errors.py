"""What a failed HTTP request says, in words that hold no header, no URL and no token."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests

from mtneuro_ray.data.retry import TransientError


def describe_network_error(error: requests.RequestException, timeout_s: float) -> TransientError:
    """The reason of a request that got no whole answer; its text is this project's, not the library's."""
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return TransientError(f"no answer within {timeout_s:g} s", unreachable=True)
    if isinstance(error, requests.ConnectionError):
        return TransientError(f"connection failed: {_innermost_reason(error)}", unreachable=True)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
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
