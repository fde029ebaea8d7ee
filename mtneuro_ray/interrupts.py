"""Signals that end what the main thread does, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(BaseException):
    """SIGTERM has come, from Slurm, Kubernetes, systemd or `kill`."""


@contextmanager
def interruptible(number: signal.Signals, error: type[BaseException]) -> Iterator[Callable[[], None]]:
    """Raise `error` in the main thread when a signal comes while the body runs, even where it waits in a library.

    It is raised once: what comes while the body cleans up is ignored. In another thread than the main one nothing is
    raised.

    Yields:
        A function that sends the signal, from any thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def interrupt(_: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise error

    main_thread = threading.get_ident()
    before = signal.signal(number, interrupt)
    try:
        yield lambda: signal.pthread_kill(main_thread, number)
    finally:
        signal.signal(number, before)
