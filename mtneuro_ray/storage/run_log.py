"""What a run prints, logs and warns, kept beside its run file under its id, with the traceback of what ended it."""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import UTC, datetime
from typing import TextIO

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.logs import write_log

# Characters that are kept of the beginning and of the end.
_HEAD, _TAIL = 100_000, 400_000


class RunLog:
    """Text of which the middle is left out where there is too much of it."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._head_size = 0
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self._left_out = 0

    def write(self, text: str) -> None:
        """Append text."""
        room = max(0, _HEAD - self._head_size)
        head, rest = text[:room], text[room:]
        if head:
            self._head.append(head)
            self._head_size += len(head)
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
        while self._tail_size > _TAIL:
            first = self._tail.popleft()
            excess = min(len(first), self._tail_size - _TAIL)
            self._left_out += excess
            self._tail_size -= excess
            if first[excess:]:
                self._tail.appendleft(first[excess:])

    def note_error(self, error: BaseException) -> None:
        """Append the traceback of an error."""
        self.write("".join(traceback.format_exception(error)))

    def __str__(self) -> str:
        gap = [f"\n[{self._left_out} characters left out]\n"] if self._left_out else []
        return "".join([*self._head, *gap, *self._tail])


class _Tee(io.TextIOBase):
    """A stream whose text goes into a log, too."""

    def __init__(self, log: RunLog, stream: TextIO) -> None:
        self._log = log
        self._stream = stream

    def write(self, text: str) -> int:
        self._log.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


class _Handler(logging.Handler):
    def __init__(self, log: RunLog) -> None:
        super().__init__(logging.INFO)
        self._log = log
        self.setFormatter(logging.Formatter("%(levelname)s: %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write(f"{self.format(record)}\n")


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)


@contextmanager
def run_log(out: Folder, run_id: str, *, keeps: bool = True) -> Iterator[RunLog]:
    """Write OUT/logs/RUN_ID.log when the body ends, however it ends; that of an earlier try is replaced.

    A process that is killed leaves none. The log is for people: what can't be written is lost, and ends nothing.

    Args:
        out: Output folder.
        run_id: The run.
        keeps: Whether this worker is the one whose log is kept.
    """
    log = RunLog()
    if not keeps:
        yield log
        return
    log.write(f"run {run_id}, process {os.getpid()} on {socket.gethostname()}, from {_now()}\n")
    try:
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(_Tee(log, sys.stdout)))
            stack.enter_context(redirect_stderr(_Tee(log, sys.stderr)))
            if logging.root.handlers:
                # They keep the stream that was there before; without any, logging writes to what is there now.
                stack.enter_context(_attached(_Handler(log)))
            yield log
    except SystemExit:
        log.write("stopped by the search\n")
        raise
    except BaseException as error:
        log.note_error(error)
        raise
    finally:
        log.write(f"ended {_now()}\n")
        with suppress(OSError):
            write_log(out, run_id, str(log))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
