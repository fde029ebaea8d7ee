"""The package's retry policy: jittered, exponential pauses between attempts at something remote."""

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
    what the service asked for.

    Args:
        action: Any other exception than `TransientError` ends the attempts at once.
        what: Names the action in the log.
        attempts: 1 or more; without a limit by default.
        backoff_s: Seconds.
        patience_s: Seconds from the first attempt after which no other begins; without a limit by default.
        longest_pause_s: Seconds.

    Raises:
        TransientError: the last attempt's.
    """
    jitter = tenacity.wait_random_exponential(multiplier=backoff_s, max=longest_pause_s)
    stops = [
        *([] if attempts is None else [tenacity.stop_after_attempt(attempts)]),
        *([] if patience_s is None else [tenacity.stop_after_delay(patience_s)]),
    ]

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.pause_s if isinstance(error, TransientError) else 0.0
        return max(asked, jitter(state))

    def report(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        limit = "" if attempts is None else f" of {attempts}"
        _log.warning(
            "%s: attempt %d%s: %s; next in %.1f s", what, state.attempt_number, limit, error, state.upcoming_sleep
        )

    retrying = tenacity.Retrying(
        stop=tenacity.stop_any(*stops),
        wait=pause,
        retry=tenacity.retry_if_exception_type(TransientError),
        before_sleep=report,
        reraise=True,
    )
    return retrying(action)
