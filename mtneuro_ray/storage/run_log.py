"""Logs of runs, OUT/logs/RUN_ID.log: prints, log records and warnings, and the traceback of the error that ended it."""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import UTC, datetime
from typing import TextIO

from mtneuro_ray.storage.folder import Folder

_FOLDER = "logs"
# Characters kept of the beginning and of the end.
_HEAD, _TAIL = 100_000, 400_000


class RunLog:
    """Text of bounded length: of a long text, the beginning and the end are kept."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0
        self._left_out = 0

    def write(self, text: str) -> None:
        """Append text."""
        self._pieces.append(text)
        self._size += len(text)
        # Seldom, because each time the whole text is copied.
        if self._size > 2 * (_HEAD + _TAIL):
            self._trim()

    def note_error(self, error: BaseException) -> None:
        """Append the traceback of an error."""
        self.write("".join(traceback.format_exception(error)))

    def __str__(self) -> str:
        text = self._trim()
        gap = f"\n[{self._left_out} characters left out]\n" if self._left_out else ""
        return text[:_HEAD] + gap + text[_HEAD:]

    def _trim(self) -> str:
        text = "".join(self._pieces)
        excess = max(0, len(text) - _HEAD - _TAIL)
        text = text[:_HEAD] + text[_HEAD + excess :]
        self._pieces, self._size = [text], len(text)
        self._left_out += excess
        return text


class _Tee(io.TextIOBase):
    """A stream that also writes to a log."""

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


@contextmanager
def run_log(out: Folder, run_id: str, *, keeps: bool = True) -> Iterator[RunLog]:
    """Capture the output of the body and write it to OUT/logs/RUN_ID.log at its end, also after an error.

    An earlier log of the run is replaced. A process that is killed writes none. An error while writing is ignored.

    Args:
        out: Output folder.
        run_id: The run.
        keeps: False for workers other than the leader, which write no log.
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
                # Existing handlers write to the stream from before; without any, logging writes to the redirected one.
                handler = logging.StreamHandler(log)
                handler.setLevel(logging.INFO)
                handler.setFormatter(logging.Formatter("%(levelname)s: %(name)s: %(message)s"))
                logging.root.addHandler(handler)
                stack.callback(logging.root.removeHandler, handler)
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
            (out / _FOLDER).write(f"{run_id}.log", str(log).encode(errors="replace"))


def read_log(out: Folder, run_id: str) -> str | None:
    """The log of a run; None if it has none."""
    try:
        return (out / _FOLDER).read(f"{run_id}.log").decode(errors="replace")
    except FileNotFoundError:
        return None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
