"""Runs of an output folder in trackers: as their files are written during a sweep, or afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

from mtneuro_ray.config.trackers import TrackerAddress
from mtneuro_ray.errors import MTNeuroError, in_one_line
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.trackers.base import Tracked, Tracker

logger = logging.getLogger(__name__)


@dataclass
class _Open:
    """A tracker that is open, or that could not be opened or written, and is left alone."""

    address: TrackerAddress
    tracker: Tracker | None = None
    failed: bool = False


def open_tracker(address: TrackerAddress, out: Folder, where: str) -> Tracker:
    """The tracker at an address, for the runs of an output folder.

    Raises:
        InputError: its package is not installed, or the place is not accepted.
        Exception: of any type: it can't be opened.
    """
    declaration = address.declaration(where)
    declaration.check(where)
    tracker: Tracker = declaration.resolve()(address.place, out, sweep_name(out))
    return tracker


def sweep_name(out: Folder) -> str:
    """Name of the sweep in trackers: the last part of its output folder."""
    return PurePosixPath(out.root.partition("?")[0]).name or "sweep"


def push(records: Iterable[RunRecord], out: Folder, address: TrackerAddress, where: str) -> tuple[int, int]:
    """Add runs to a tracker.

    Returns:
        Runs that were added or replaced, and runs that the tracker had.

    Raises:
        MTNeuroError: the tracker can't be opened or written; pushed again, it goes on where it was.
    """
    added = known = 0
    try:
        tracker = open_tracker(address, out, where)
        try:
            for record in records:
                is_new = tracker.add(Tracked.of(record, out))
                added, known = added + is_new, known + (not is_new)
        finally:
            tracker.close()
    except MTNeuroError:
        raise
    except Exception as error:  # Each tracker has its own.
        raise MTNeuroError(
            f"{where}: {address.name}: {in_one_line(error)}; {added} runs were added; the same command goes on"
        ) from error
    return added, known


class Tracking:
    """The trackers of a sweep while it runs. A thread writes them: no training waits for one, and no error ends it.

    Args:
        addresses: Texts of `[run] trackers`.
        out: Output folder.

    Raises:
        InputError: there is no such tracker, or its package is not installed.
    """

    def __init__(self, addresses: Sequence[str], out: Folder) -> None:
        self._out = out
        self._trackers = [_Open(TrackerAddress.of(text, "run.trackers")) for text in addresses]
        for each in self._trackers:
            each.address.declaration().check("run.trackers")
        self._thread = ThreadPoolExecutor(1)

    def add(self, record: RunRecord) -> None:
        """Add a run whose file is written."""
        if self._trackers:
            self._thread.submit(self._add, record)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error or Ctrl-C nobody waits for what is pending: `results push` adds it.
        self._thread.shutdown(cancel_futures=kind is not None)
        self._close()

    def _add(self, record: RunRecord) -> None:
        for each in self._trackers:
            if each.failed:
                continue
            try:
                tracked = Tracked.of(record, self._out)
                if each.tracker is None:
                    each.tracker = open_tracker(each.address, self._out, "run.trackers")
                each.tracker.add(tracked)
            except Exception as error:  # Each tracker has its own.
                self._give_up(each, error)

    def _close(self) -> None:
        for each in self._trackers:
            try:
                if each.tracker is not None:
                    each.tracker.close()
            except Exception as error:  # As above.
                self._give_up(each, error)

    def _give_up(self, each: _Open, error: Exception) -> None:
        if not each.failed:
            logger.warning(
                "%s: can't be written (%s); the sweep goes on, and `results push` adds what is missing",
                each.address.name,
                in_one_line(error),
            )
        each.failed = True
