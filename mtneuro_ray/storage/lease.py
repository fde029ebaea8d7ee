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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from types import FrameType

from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.progress import say
from mtneuro_ray.storage.folder import Folder

logger = logging.getLogger(__name__)

_NAME = "driver.json"
_BEAT_S = 5.0
# Several beats: one may come late, on a busy machine or a slow bucket.
SILENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class DriverSign:
    """What a driver leaves in the folder, with a `beat` that grows as long as it lives.

    Only whether it changes is looked at: clocks of machines differ.
    """

    driver: str
    host: str
    pid: int
    beat: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_gone(self) -> bool:
        """Whether this machine knows that the process is no more; of other machines' it knows nothing."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def driver_of(out: Folder) -> DriverSign | None:
    """The sign that a driver has left in an output folder, or None."""
    try:
        return DriverSign(**json.loads(out.read(_NAME)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # Of another version, or not ours: it will not move, so nobody waits for it forever.
        return DriverSign("unknown", "an unknown machine", 0)


class _TakenOver(BaseException):
    """Another driver has the folder. As little an error of what it interrupts as KeyboardInterrupt is."""


@contextmanager
def only_driver(out: Folder, *, beat_s: float = _BEAT_S, silence_s: float = SILENCE_S) -> Iterator[None]:
    """Be the only driver of an output folder while the body runs.

    A driver that was killed leaves its sign; it is taken for dead where its process is gone from this machine, or
    where it does not move for a while. Where it only seemed so, it ends as soon as it looks again. Two that start at
    the same moment are told apart by whose sign came last.

    Nothing is asked of the folder but that a read finds the last write, which file systems and S3 promise; S3's
    conditional writes are not in pyarrow. Of two that both found nobody, the one that reads the other's sign, within a
    beat or two, writes no more, so at least one stays, and run files that both have written meanwhile are the same.

    Args:
        out: The folder.
        beat_s: Seconds between signs of life.
        silence_s: Seconds of silence after which another driver is taken for dead.

    Raises:
        InputError: another driver is at work there.
        MTNeuroError: another driver has taken over.
    """
    mine = DriverSign(uuid.uuid4().hex, socket.gethostname(), os.getpid())
    _await_silence(out, beat_s, silence_s)
    _write(out, mine)
    stop, lost = threading.Event(), threading.Event()
    try:
        with _interruptible() as interrupt:
            heart = threading.Thread(target=_beat, args=(out, mine, beat_s, stop, lost, interrupt), daemon=True)
            heart.start()
            try:
                yield
            finally:
                # Before SIGUSR1 means again what it meant before: the end of the process.
                stop.set()
                heart.join()
    except _TakenOver:
        raise _taken_over(out) from None
    finally:
        if not lost.is_set():
            _withdraw(out, mine)
    if lost.is_set():
        raise _taken_over(out)


def _await_silence(out: Folder, beat_s: float, silence_s: float) -> None:
    """Return once nobody else is at work.

    Raises:
        InputError: somebody is.
    """
    found = driver_of(out)
    if found is None or found.is_gone:
        return
    say(
        f"{out}: {found} was the last to run a sweep here; waiting for {silence_s:g} s at most, to see whether it lives"
    )
    deadline = time.monotonic() + silence_s
    while time.monotonic() < deadline:
        time.sleep(min(beat_s / 2, 1.0))
        now = driver_of(out)
        if now is None or now.is_gone:
            return
        if now != found:
            raise InputError(
                f"{out}: {now} runs a sweep here; accepted: another --out (with the same --store, nothing is read "
                "twice), or this one once that has ended"
            )


def _beat(
    out: Folder,
    mine: DriverSign,
    beat_s: float,
    stop: threading.Event,
    lost: threading.Event,
    interrupt: Callable[[], None],
) -> None:
    beat = 0
    while not stop.wait(beat_s):
        beat += 1
        try:
            found = driver_of(out)
            if found is not None and not _is_of(found, mine):
                lost.set()
                interrupt()
                return
            _write(out, replace(mine, beat=beat))
        except OSError:
            # A full disk or a bucket out of reach is no reason to end: the runs will say so, if it lasts.
            continue


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """A function that other threads call to raise `_TakenOver` in the main thread, even where it waits in a library.

    In another thread than that the body runs to its end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def raise_it(number: int, frame: FrameType | None) -> None:
        raise _TakenOver

    main_thread = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, raise_it)
    try:
        yield lambda: signal.pthread_kill(main_thread, signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def _write(out: Folder, sign: DriverSign) -> None:
    out.write(_NAME, json.dumps(asdict(sign)).encode())


def _withdraw(out: Folder, mine: DriverSign) -> None:
    """Take the sign away, if it is ours and the folder can be reached; what the body raised matters more."""
    try:
        if _is_of(driver_of(out), mine):
            out.delete(_NAME)
    except OSError as error:
        logger.warning("%s/%s: can't be removed (%s); the next sweep finds that it does not move", out, _NAME, error)


def _is_of(found: DriverSign | None, mine: DriverSign) -> bool:
    return found is not None and found.driver == mine.driver


def _taken_over(out: Folder) -> MTNeuroError:
    driver = None
    with suppress(OSError):
        driver = driver_of(out)
    return MTNeuroError(
        f"{out}: {driver or 'another process'} has taken over this sweep; accepted: one driver to an --out"
    )
