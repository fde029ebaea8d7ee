"""One sweep at a time in an output folder, here or in a bucket, whatever became of the one before."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.interrupts import Interrupt, interruptible
from mtneuro_ray.progress import say
from mtneuro_ray.storage.folder import Folder

logger = logging.getLogger(__name__)

_NAME = "driver.json"
_BEAT_S = 5.0
# Several beats: one may come late, on a busy machine or a slow bucket.
SILENCE_S = 30.0
# Tune takes SIGUSR1 for itself.
_SIGNAL = signal.SIGUSR2


@dataclass(frozen=True, slots=True)
class DriverSign:
    """What a driver leaves in the folder, with a `beat` that grows as long as it lives.

    Only whether it changes is looked at: clocks of machines differ.
    """

    driver: str
    host: str
    pid: int
    beat: int = 0

    @classmethod
    def parse(cls, content: bytes) -> DriverSign:
        """The sign in a file; a stand-in that never moves where the file is of another version, or not ours."""
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            values = None
        kinds = {"driver": str, "host": str, "pid": int, "beat": int}
        if isinstance(values, dict) and {name: type(value) for name, value in values.items()} == kinds:
            return cls(**values)
        return cls("unknown", "an unknown machine", 0)

    def content(self) -> bytes:
        """The file's content."""
        return json.dumps(asdict(self)).encode()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_gone(self) -> bool:
        """Whether this machine knows that the process is no more; of other machines' it knows nothing."""
        if self.host != socket.gethostname() or self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            return False
        return False


class _Found(NamedTuple):
    sign: DriverSign
    version: Any


def driver_of(out: Folder) -> DriverSign | None:
    """The sign that a driver has left in an output folder, or None."""
    found = _look(out)
    return found and found.sign


def _look(out: Folder) -> _Found | None:
    try:
        content, version = out.read_with_version(_NAME)
    except FileNotFoundError:
        return None
    return _Found(DriverSign.parse(content), version)


@contextmanager
def only_driver(out: Folder, *, beat_s: float = _BEAT_S, silence_s: float = SILENCE_S) -> Iterator[None]:
    """Be the only driver of an output folder while the body runs.

    The sign of a driver is written where there is none, and replaced only by its own driver or once it is silent, each
    under the condition that nobody was faster, so two drivers never hold a folder at once. A driver counts as silent
    where its process is gone from this machine, or where its sign does not move for a while. One that was only
    stopped, or cut off, finds the other's sign at its next beat, and ends.

    Args:
        out: The folder.
        beat_s: Seconds between signs of life.
        silence_s: Seconds of silence after which another driver is taken for dead.

    Raises:
        InputError: another driver is at work there.
        MTNeuroError: another driver has taken over.
    """
    mine = DriverSign(uuid.uuid4().hex, socket.gethostname(), os.getpid())
    while not _put(out, mine, _await_silence(out, beat_s, silence_s)):
        pass
    stop, lost = threading.Event(), threading.Event()
    try:
        with interruptible(_SIGNAL) as interrupt:
            heart = threading.Thread(target=_beat, args=(out, mine, beat_s, stop, lost, interrupt), daemon=True)
            heart.start()
            try:
                yield
            finally:
                # Before the signal means again what it meant before: the end of the process.
                stop.set()
                heart.join()
    except KeyboardInterrupt:
        if not interrupt.came:
            raise
    finally:
        if not lost.is_set():
            _withdraw(out, mine)
    if lost.is_set():
        raise _taken_over(out)


def _put(out: Folder, sign: DriverSign, found: _Found | None) -> bool:
    """Write a sign in the place of the one found; whether nobody was faster."""
    if found is None:
        return out.create(_NAME, sign.content())
    return out.replace_if(_NAME, sign.content(), found.version)


def _await_silence(out: Folder, beat_s: float, silence_s: float) -> _Found | None:
    """What is left in the folder once nobody else is at work.

    Raises:
        InputError: somebody is.
    """
    first = found = _look(out)
    if first is None or first.sign.is_gone:
        return first
    say(
        f"{out}: {first.sign} was the last to run a sweep here; waiting for {silence_s:g} s at most, to see whether it "
        "lives"
    )
    deadline = time.monotonic() + silence_s
    while time.monotonic() < deadline:
        time.sleep(min(beat_s / 2, 1.0))
        found = _look(out)
        if found is None or found.sign.is_gone:
            break
        if found.version != first.version:
            raise InputError(
                f"{out}: {found.sign} runs a sweep here; accepted: another --out (with the same --store, nothing is "
                "read twice), or this one once that has ended"
            )
    return found


def _beat(
    out: Folder,
    mine: DriverSign,
    beat_s: float,
    stop: threading.Event,
    lost: threading.Event,
    interrupt: Interrupt,
) -> None:
    beat = 0
    while not stop.wait(beat_s):
        beat += 1
        try:
            found = _look(out)
            if found is not None and found.sign.driver != mine.driver:
                lost.set()
                interrupt.send()
                return
            # Whoever was faster is found at the next beat.
            _put(out, replace(mine, beat=beat), found)
        except OSError:
            # A full disk or a bucket out of reach is no reason to end: the runs will say so, if it lasts.
            continue


def _withdraw(out: Folder, mine: DriverSign) -> None:
    """Take the sign away, if it is ours and the folder can be reached; what the body raised matters more."""
    try:
        found = driver_of(out)
        if found is not None and found.driver == mine.driver:
            out.delete(_NAME)
    except OSError as error:
        logger.warning("%s/%s: can't be removed (%s); the next sweep finds that it does not move", out, _NAME, error)


def _taken_over(out: Folder) -> MTNeuroError:
    driver = None
    with suppress(OSError):
        driver = driver_of(out)
    return MTNeuroError(
        f"{out}: {driver or 'another process'} has taken over this sweep; accepted: one driver to an --out"
    )
