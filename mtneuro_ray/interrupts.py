"""Signals that end what the main thread does, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """A signal that raises KeyboardInterrupt in the main thread, even where that waits in a library.

    KeyboardInterrupt and no error of our own, because Ray's native code lets nothing else through.

    Attributes:
        came: Whether it came.
    """

    def __init__(self, number: signal.Signals) -> None:
        self.came = False
        self._number = number
        self._main_thread = threading.main_thread().ident

    def send(self) -> None:
        """Send the signal, from any thread, to a main thread that heeds it."""
        if self._main_thread is not None and signal.getsignal(self._number) == self.handle:
            signal.pthread_kill(self._main_thread, self._number)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, once: what comes while the main thread cleans up is ignored."""
        if not self.came:
            self.came = True
            raise KeyboardInterrupt


@contextmanager
def interruptible(number: signal.Signals) -> Iterator[Interrupt]:
    """Let a signal interrupt the body; in another thread than the main one nothing does."""
    interrupt = Interrupt(number)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(number, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(number, before)
