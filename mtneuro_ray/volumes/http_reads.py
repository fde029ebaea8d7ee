"""Limits on the time and size of HTTP answers, and failed requests in words without header, URL or token."""

from __future__ import annotations

import io
import time
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3

from mtneuro_ray.retry import TransientError

SLOWEST_BYTES_PER_S = 2**17
# Largest answer that holds metadata or an error.
MOST_PLAIN_BYTES = 2**20
_BLOSC_HEADER_BYTES = 16


class UnusableAnswer(requests.RequestException):
    """An answer that must not be passed on; the text holds nothing of the request."""


class AnswerLimits:
    """Limits on the duration and size of every answer of a session, applied before a library decompresses it.

    The `timeout` of `requests` restarts with every byte, so a slow trickle would never end; an endless answer, or a
    small gzip of much data, would take all memory.

    Args:
        session: Gets a hook; used by one thread.
        timeout_s: Seconds that an answer may take, in addition to its length at 128 KiB/s.

    Attributes:
        unfolded_bytes: Size of the next answer after blosc decompression; None for an answer without blosc.
    """

    def __init__(self, session: requests.Session, timeout_s: float) -> None:
        self.unfolded_bytes: int | None = None
        self._timeout_s = timeout_s
        session.hooks["response"] = [self._read_whole]

    def _read_whole(self, response: requests.Response, **_: object) -> None:
        most_bytes = MOST_PLAIN_BYTES + (self.unfolded_bytes or 0)
        length = _length_of(response)
        if length > most_bytes:
            response.close()
            raise UnusableAnswer(f"{length} bytes, more than {most_bytes}")
        body = self._body(response, most_bytes, time.monotonic() + self._timeout_s + length / SLOWEST_BYTES_PER_S)
        if response.status_code == 200 and self.unfolded_bytes is not None:
            # The header of blosc: 4 bytes of versions and flags, then the size that it unfolds to.
            found = int.from_bytes(body[4:8], "little")
            if len(body) < _BLOSC_HEADER_BYTES or found != self.unfolded_bytes:
                raise UnusableAnswer(f"{len(body)} bytes that unfold to {found}, not to {self.unfolded_bytes}")
        response.raw = io.BytesIO(body)

    def _body(self, response: requests.Response, most_bytes: int, deadline: float) -> bytes:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "deflate", ""):
            raise UnusableAnswer(f"Content-Encoding {encoding[:20]!r}")
        unfold = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None
        body = bytearray()
        while part := response.raw.read1(2**20, decode_content=False):
            body += part if unfold is None else unfold.decompress(part, most_bytes + 1 - len(body))
            if len(body) > most_bytes:
                response.close()
                raise UnusableAnswer(f"more than {most_bytes} bytes")
            if time.monotonic() > deadline:
                response.close()
                raise requests.Timeout
        return bytes(body)


def describe_network_error(
    error: requests.RequestException | urllib3.exceptions.HTTPError, timeout_s: float
) -> TransientError:
    """The reason of a request without a whole answer; never in the library's words, which may hold the token."""
    if isinstance(error, UnusableAnswer):
        return TransientError(f"unusable answer ({error})")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return TransientError(f"no answer within {timeout_s:g} s", unreachable=True)
    if isinstance(error, requests.ConnectionError):
        return TransientError(f"connection failed: {_innermost_reason(error)}", unreachable=True)
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return TransientError("the answer was cut short")
    return TransientError(f"the answer could not be read ({type(error).__name__})")


def parse_retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as a date; 0 for anything else."""
    with suppress(ValueError):
        return max(0.0, float(value or 0))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(str(value)) - datetime.now(UTC)).total_seconds())
    return 0.0


def _length_of(response: requests.Response) -> int:
    length = response.headers.get("Content-Length") or "0"
    return int(length) if length.isdecimal() else 0


def _innermost_reason(error: BaseException | None) -> str:
    """The operating system's message, from the chain of exceptions."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__cause__ or error.__context__
    return "no answer"
