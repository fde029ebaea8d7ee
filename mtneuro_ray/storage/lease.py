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
    lease = _Lease(out, DriverSign(uuid.uuid4().hex, socket.gethostname(), os.getpid()))
    lease.take(beat_s, silence_s)
    ended = threading.Event()
    try:
        with interruptible(_SIGNAL) as interrupt:
            heart = threading.Thread(target=lease.keep, args=(beat_s, ended, interrupt), daemon=True)
            heart.start()
            try:
                yield
            finally:
                # Before the signal means again what it meant before: the end of the process.
                ended.set()
                heart.join()
    except KeyboardInterrupt:
        if not interrupt.came:
            raise
    finally:
        if not lease.is_lost:
            lease.withdraw()
    if lease.is_lost:
        raise lease.loss()


class _Lease:
    """The sign of one driver in one folder.

    Attributes:
        is_lost: Whether another driver's sign was found in its place.
    """

    def __init__(self, out: Folder, sign: DriverSign) -> None:
        self.is_lost = False
        self._out = out
        self._sign = sign

    def take(self, beat_s: float, silence_s: float) -> None:
        """Write the sign, once nobody else is at work.

        Raises:
            InputError: somebody is.
        """
        while not self._put(self._await_silence(beat_s, silence_s)):
            pass

    def keep(self, beat_s: float, ended: threading.Event, interrupt: Interrupt) -> None:
        """Move the sign until the body has ended; interrupt the body where the lease is lost."""
        while not ended.wait(beat_s):
            self._sign = replace(self._sign, beat=self._sign.beat + 1)
            try:
                found = _look(self._out)
                if found is not None and found.sign.driver != self._sign.driver:
                    self.is_lost = True
                    interrupt.send()
                    return
                # Whoever was faster is found at the next beat.
                self._put(found)
            except OSError:
                # A full disk or a bucket out of reach is no reason to end: the runs will say so, if it lasts.
                continue

    def withdraw(self) -> None:
        """Take the sign away, if it is there and the folder can be reached; what the body raised matters more."""
        try:
            found = driver_of(self._out)
            if found is not None and found.driver == self._sign.driver:
                self._out.delete(_NAME)
        except OSError as error:
            logger.warning(
                "%s/%s: can't be removed (%s); the next sweep finds that it does not move", self._out, _NAME, error
            )

    def loss(self) -> MTNeuroError:
        """The error that the lease is lost."""
        driver = None
        with suppress(OSError):
            driver = driver_of(self._out)
        return MTNeuroError(
            f"{self._out}: {driver or 'another process'} has taken over this sweep; accepted: one driver to an --out"
        )

    def _put(self, found: _Found | None) -> bool:
        """Write the sign in the place of the one found; whether nobody was faster."""
        if found is None:
            return self._out.create(_NAME, self._sign.content())
        return self._out.replace_if(_NAME, self._sign.content(), found.version)

    def _await_silence(self, beat_s: float, silence_s: float) -> _Found | None:
        """What is left in the folder once nobody else is at work."""
        first = found = _look(self._out)
        if first is None or first.sign.is_gone:
            return first
        say(
            f"{self._out}: {first.sign} was the last to run a sweep here; waiting for {silence_s:g} s at most, to see "
            "whether it lives"
        )
        deadline = time.monotonic() + silence_s
        while time.monotonic() < deadline:
            time.sleep(min(beat_s / 2, 1.0))
            found = _look(self._out)
            if found is None or found.sign.is_gone:
                break
            if found.version != first.version:
                raise InputError(
                    f"{self._out}: {found.sign} runs a sweep here; accepted: another --out (with the same --store, "
                    "nothing is read twice), or this one once that has ended"
                )
        return found
