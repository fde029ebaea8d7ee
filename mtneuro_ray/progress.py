"""Progress that a person reads on stderr; results go to stdout."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from mtneuro_ray.errors import printable


def say(text: str) -> None:
    """One line of progress."""
    print(printable(text), file=sys.stderr, flush=True)


@contextmanager
def working(text: str, patience_s: float = 2.0) -> Iterator[None]:
    """Say what the body does where it takes longer than `patience_s`, and how long it took.

    Args:
        text: What it does, as in "drawing the report".
        patience_s: Seconds of silence before the first word: a spinner on a terminal, elsewhere a line.
    """
    console = Console(stderr=True)
    status = console.status(Text(text))
    begin = status.start if console.is_terminal else lambda: say(f"{text} ...")
    timer = threading.Timer(patience_s, begin)
    timer.daemon = True
    started = time.monotonic()
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()
        seconds = time.monotonic() - started
        if seconds > patience_s:
            say(f"{text}: {seconds:.0f} s")


class ByteProgress:
    """A bar with rate and remaining time on a terminal; elsewhere a first and a last line.

    Args:
        label: What is going on.
        total: Bytes to come.
    """

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=total)

    def advance(self, num_bytes: int) -> None:
        """Count bytes that have come."""
        self._done += num_bytes
        self._bar.advance(self._task, num_bytes)

    def __enter__(self) -> Self:
        say(f"{self._label}, {self._total / 1e6:.1f} MB")
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = self._done / 1e6 / seconds
        say(f"{self._label}: read {self._done / 1e6:.1f} MB in {seconds:.1f} s, {rate:.1f} MB/s")
