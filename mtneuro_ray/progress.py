"""Progress on stderr; results go to stdout."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from mtneuro_ray.errors import printable


def say(text: str) -> None:
    """One line of progress."""
    print(printable(text), file=sys.stderr, flush=True)


@contextmanager
def working(text: str, patience_s: float = 2.0) -> Iterator[None]:
    """Announce work that takes longer than `patience_s`, and say its duration at the end.

    Args:
        text: Work that the body does, as in "drawing the report".
        patience_s: Silence before the announcement, in seconds: a spinner on a terminal, elsewhere a line.
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


@contextmanager
def byte_progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and remaining time on a terminal; elsewhere a first and a last line.

    Args:
        label: Work that the body does.
        total: Bytes to come.

    Yields:
        The function to call with each number of bytes that has arrived.
    """
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    say(f"{label}, {total / 1e6:.1f} MB")
    started = time.monotonic()
    done = 0
    with Progress(TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=total)

        def advance(num_bytes: int) -> None:
            nonlocal done
            done += num_bytes
            bar.advance(task, num_bytes)

        try:
            yield advance
        finally:
            bar.stop()
            seconds = max(time.monotonic() - started, 1e-9)
            say(f"{label}: read {done / 1e6:.1f} MB in {seconds:.1f} s, {done / 1e6 / seconds:.1f} MB/s")


@contextmanager
def progress(
    label: str, total: int, unit: str, every_s: float = 30.0, patience_s: float = 0.0
) -> Iterator[Callable[[int], None]]:
    """Show a bar with the remaining time on a terminal; elsewhere a line about every `every_s` seconds.

    Args:
        label: Work that the body does.
        total: Number of units to come.
        unit: What is counted, as in "voxels".
        every_s: Seconds between two lines.
        patience_s: Work that takes no longer, in seconds, is done in silence; the first line comes after so many.

    Yields:
        The function to call with each number of units that is done.
    """
    console = Console(stderr=True)
    columns: tuple[ProgressColumn, ...] = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal)
    task = bar.add_task(label, total=total)
    started = time.monotonic()
    done, due_s = 0, patience_s or every_s
    first: tuple[int, float] | None = None

    def advance(number: int) -> None:
        nonlocal done, due_s, first
        done += number
        bar.advance(task, number)
        seconds = time.monotonic() - started
        if seconds > patience_s:
            bar.start()
        if not console.is_terminal and seconds > due_s and done < total:
            due_s = seconds + every_s
            # Not from the first units, whose time has that of what begins once, such as opening a database.
            left = ""
            if first is not None and done > first[0]:
                left = f", {(seconds - first[1]) / (done - first[0]) * (total - done):.0f} s left"
            say(f"{label}: {done / total:.0%} of {total} {unit}{left}")
        if first is None:
            first = (done, seconds)

    try:
        yield advance
    finally:
        bar.stop()
        seconds = max(time.monotonic() - started, 1e-9)
        if seconds > patience_s:
            say(f"{label}: {done} {unit} in {seconds:.1f} s, {done / seconds:.3g} {unit}/s")
