"""Bounded, jittered retries of a remote read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import tenacity

LONGEST_PAUSE_S = 60.0

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class TransientError(Exception):
    """One attempt failed in a way that the next one may not.

    Attributes:
        reason: What went wrong, in one line.
        pause_s: Seconds that the service asked to be left alone, 0 where it did not say.
        unreachable: Whether the service did not answer at all.
    """

    def __init__(self, reason: str, pause_s: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pause_s = pause_s
        self.unreachable = unreachable


def persist(action: Callable[[], _T], what: str, attempts: int, backoff_s: float) -> _T:
    """Call `action` until it does not raise `TransientError`, at most `attempts` times.

    The pause before attempt n + 1 is uniform in [0, backoff_s * 2**(n - 1)], never longer than a minute, and
    never shorter than the service asked for.

    Args:
        action: Any other exception than `TransientError` ends the attempts at once.
        what: Names the action in the log.
        attempts: 1 or more.
        backoff_s: Seconds.

    Raises:
        TransientError: the last attempt's.
    """
    jitter = tenacity.wait_random_exponential(multiplier=backoff_s, max=LONGEST_PAUSE_S)

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.pause_s if isinstance(error, TransientError) else 0.0
        return max(asked, jitter(state))

    def report(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        _log.warning(
            "%s: attempt %d of %d: %s; next in %.1f s",
            what,
            state.attempt_number,
            attempts,
            error,
            state.upcoming_sleep,
        )

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=pause,
        retry=tenacity.retry_if_exception_type(TransientError),
        before_sleep=report,
        reraise=True,
    )
    return retrying(action)
