"""Signals that interrupt the main thread, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """A signal that raises KeyboardInterrupt in the main thread, even while it waits in a library.

    Ray's native code lets only KeyboardInterrupt through, no other exception.
    """

    def __init__(self, number: signal.Signals) -> None:
        self.came = False
        """Whether the signal was received."""
        self._number = number
        self._main_thread = threading.main_thread().ident

    def send(self) -> None:
        """Send the signal from any thread, unless the main thread no longer handles it."""
        if self._main_thread is not None and signal.getsignal(self._number) == self.handle:
            signal.pthread_kill(self._main_thread, self._number)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt once; later signals, while the main thread cleans up, are ignored."""
        if not self.came:
            self.came = True
            raise KeyboardInterrupt


@contextmanager
def interruptible(number: signal.Signals) -> Iterator[Interrupt]:
    """Let a signal interrupt the body, if that runs in the main thread."""
    interrupt = Interrupt(number)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(number, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(number, before)
