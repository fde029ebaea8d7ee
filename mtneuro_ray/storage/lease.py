"""The lease of an output folder: one sweep at a time, here or in a bucket, also after a driver was killed."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class DriverSign:
    """Content of OUT/driver.json: a driver, its process, and a counter `beat` that grows while the driver lives.

    Readers only compare whether the beat has changed, because the clocks of machines differ.
    """

    driver: str
    host: str
    pid: int
    beat: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_gone(self) -> bool:
        """True if the process ran on this machine and has ended; False for processes of other machines."""
        if self.host != socket.gethostname() or self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except (OSError, OverflowError) as error:
            # The process of another user is alive.
            return not isinstance(error, PermissionError)
        return False


_FILE = TypeAdapter(DriverSign)
_UNKNOWN = DriverSign("unknown", "an unknown machine", 0)


def driver_of(out: Folder) -> DriverSign | None:
    """The sign of the last driver of an output folder; None without one."""
    return _look(out)[0]


def _look(out: Folder) -> tuple[DriverSign | None, Any]:
    """The sign in an output folder, and its version for `replace_if`; None twice without one.

    A file that holds no sign of this format counts as the sign of an unknown driver, whose beat never changes.
    """
    try:
        content, version = out.read_with_version(_NAME)
    except FileNotFoundError:
        return None, None
    try:
        return _FILE.validate_json(content), version
    except ValidationError:
        return _UNKNOWN, version


@contextmanager
def only_driver(out: Folder, *, beat_s: float = _BEAT_S, silence_s: float = SILENCE_S) -> Iterator[None]:
    """Be the only driver of an output folder while the body runs.

    A driver creates its sign only where there is none, and replaces that of another driver only once that one is
    silent, each by a conditional write, so two drivers never hold a folder at once. A driver is silent if its process
    is gone from this machine, or if its beat has not changed for `silence_s`. A driver that was only paused or cut off
    finds the sign of its successor at its next beat, and ends.

    Args:
        out: Output folder.
        beat_s: Seconds between two beats.
        silence_s: Seconds without a beat after which another driver counts as dead.

    Raises:
        InputError: another driver is at work in the folder.
        MTNeuroError: another driver has taken over.
    """
    lease = _Lease(out)
    lease.take(beat_s, silence_s)
    ended = threading.Event()
    try:
        with interruptible(_SIGNAL) as interrupt:
            heart = threading.Thread(target=lease.keep, args=(beat_s, ended, interrupt), daemon=True)
            heart.start()
            try:
                yield
            finally:
                # Before the signal gets its default meaning back, which is to end the process.
                ended.set()
                heart.join()
    except KeyboardInterrupt:
        if not interrupt.came:
            raise
    finally:
        if not lease.is_lost:
            lease.withdraw()
    if lease.is_lost:
        driver = None
        with suppress(OSError):
            driver = driver_of(out)
        raise MTNeuroError(
            f"{out}: {driver or 'another process'} has taken over this sweep; accepted: one driver to an --out"
        )


class _Lease:
    """The sign of this process in one folder."""

    def __init__(self, out: Folder) -> None:
        self.is_lost = False
        """True once the sign of another driver was found in its place."""
        self._out = out
        self._sign = DriverSign(uuid.uuid4().hex, socket.gethostname(), os.getpid())

    def take(self, beat_s: float, silence_s: float) -> None:
        """Write the sign once no other driver is at work.

        Raises:
            InputError: another driver is at work.
        """
        while not self._put(self._await_silence(beat_s, silence_s)):
            pass

    def keep(self, beat_s: float, ended: threading.Event, interrupt: Interrupt) -> None:
        """Write a beat every `beat_s` until the body has ended; interrupt the body if the lease is lost."""
        while not ended.wait(beat_s):
            self._sign = replace(self._sign, beat=self._sign.beat + 1)
            # A full disk or an unreachable bucket does not end the sweep; if it lasts, the runs report it.
            with suppress(OSError):
                found, version = _look(self._out)
                if found is not None and found.driver != self._sign.driver:
                    self.is_lost = True
                    interrupt.send()
                    return
                # If another driver was faster, the next beat finds its sign.
                self._put(version)

    def withdraw(self) -> None:
        """Delete the sign, if it is still there. An OSError is only logged, so that it hides no error of the body."""
        try:
            found = driver_of(self._out)
            if found is not None and found.driver == self._sign.driver:
                self._out.delete(_NAME)
        except OSError as error:
            logger.warning(
                "%s/%s: can't be removed (%s); the next sweep finds that it does not move", self._out, _NAME, error
            )

    def _put(self, version: Any) -> bool:
        """Create the sign (`version` None) or replace this version; False if another driver was faster."""
        content = _FILE.dump_json(self._sign)
        if version is None:
            return self._out.create(_NAME, content)
        return self._out.replace_if(_NAME, content, version)

    def _await_silence(self, beat_s: float, silence_s: float) -> Any:
        """Wait until no other driver is at work; returns the version of the sign that is left, None without one."""
        first, first_version = _look(self._out)
        if first is None or first.is_gone:
            return first_version
        say(
            f"{self._out}: {first} was the last to run a sweep here; waiting for {silence_s:g} s at most, to see "
            "whether it lives"
        )
        version = first_version
        deadline = time.monotonic() + silence_s
        while time.monotonic() < deadline:
            time.sleep(min(beat_s / 2, 1.0))
            found, version = _look(self._out)
            if found is None or found.is_gone:
                break
            if version != first_version:
                raise InputError(
                    f"{self._out}: {found} runs a sweep here; accepted: another --out (with the same --store, "
                    "nothing is read twice), or this one once that has ended"
                )
        return version
