"""The package's retry policy: jittered, exponential pauses between attempts at something remote."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable
from typing import TypeVar

import tenacity

LONGEST_PAUSE_S = 60.0

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class TransientError(Exception):
    """A failed attempt that may succeed when it is repeated.

    Args:
        reason: Cause, in one line.
        pause_s: Pause that the service asked for, in seconds; 0 if it did not.
        unreachable: Whether the service did not answer at all.
    """

    def __init__(self, reason: str, pause_s: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pause_s = pause_s
        self.unreachable = unreachable


def persist(
    action: Callable[[], _T],
    what: str,
    attempts: int | None = None,
    backoff_s: float = 1.0,
    *,
    patience_s: float | None = None,
    longest_pause_s: float = LONGEST_PAUSE_S,
) -> _T:
    """Call `action` until it does not raise `TransientError`, or until attempts or patience are used up.

    The pause before attempt n + 1 is uniform in [0, backoff_s * 2**(n - 1)], at most `longest_pause_s`, and at least
    the pause that the service asked for. Any other exception ends the attempts at once.

    Args:
        action: Function to call.
        what: Name of the action, for the log.
        attempts: 1 or more; unlimited by default.
        backoff_s: See above, in seconds.
        patience_s: Seconds from the first attempt after which no other begins; unlimited by default.
        longest_pause_s: See above, in seconds.

    Raises:
        TransientError: the last attempt failed.
    """
    jitter = tenacity.wait_random_exponential(multiplier=backoff_s, max=longest_pause_s)
    limit = "" if attempts is None else f" of {attempts}"

    def error_of(state: tenacity.RetryCallState) -> BaseException | None:
        return state.outcome.exception() if state.outcome else None

    def pause(state: tenacity.RetryCallState) -> float:
        return max(getattr(error_of(state), "pause_s", 0.0), jitter(state))

    def report(state: tenacity.RetryCallState) -> None:
        told = (what, state.attempt_number, limit, error_of(state), state.upcoming_sleep)
        _log.warning("%s: attempt %d%s: %s; next in %.1f s", *told)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_any(
            tenacity.stop_after_attempt(attempts or sys.maxsize),
            tenacity.stop_after_delay(math.inf if patience_s is None else patience_s),
        ),
        wait=pause,
        retry=tenacity.retry_if_exception_type(TransientError),
        before_sleep=report,
        reraise=True,
    )
    return retrying(action)
