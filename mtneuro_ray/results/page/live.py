"""The page of an output folder as it is now: remade when runs have ended, and otherwise kept."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from mtneuro_ray.errors import MTNeuroError
from mtneuro_ray.results.page.content import Content
from mtneuro_ray.results.page.details import details_of
from mtneuro_ray.results.page.document import as_json, fragment, page
from mtneuro_ray.results.page.stored_results import StoredResults
from mtneuro_ray.results.query import Results
from mtneuro_ray.results.watching import SweepView
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.sweep.outline import read_outline
from mtneuro_ray.sweep.sweep import Total

logger = logging.getLogger(__name__)

FRAGMENTS = ("summary", "tables", "failures")
"""Parts of the page that are asked for again when runs have ended."""


class Snapshot:
    """The page at one time; what is asked for is made once.

    Args:
        results: The runs.
        stored: Predictions and embeddings of the folder.
        version: Number of the snapshot.
        title: Heading of the page.
    """

    def __init__(self, results: Results, stored: StoredResults, version: int, title: str) -> None:
        self.version, self._results, self._title = version, results, title
        self._content = Content(results, self._records, stored)
        self._made: dict[str, bytes] = {}
        # One at a time: what two requests ask for at once is made once, and Optuna and matplotlib are not for threads.
        self._lock = threading.Lock()

    @cached_property
    def context(self) -> dict[str, Any]:
        """What the templates show."""
        return self._content.context()

    @property
    def parts(self) -> list[str]:
        """Ids of the page's sections."""
        return [part.id for part in self.context["parts"]]

    def page(self) -> bytes:
        """The page with its summary and tables, compressed; all else is asked for by its script."""
        return self._once("page", lambda: page({}, is_live=True, title=self._title, **self.context))

    def fragment(self, name: str) -> bytes:
        """One of FRAGMENTS as HTML, compressed."""
        return self._once(f"fragment {name}", lambda: fragment(f"{name}.html", **self.context))

    def data(self, name: str) -> bytes:
        """The data of a name as JSON, compressed.

        Raises:
            KeyError: there are none.
        """
        return self._once(f"data {name}", lambda: as_json(self._content.make(name)))

    def run(self, run_id: str) -> bytes:
        """All that is known of one run as JSON, compressed; made anew each time.

        Raises:
            KeyError: there is no such run.
        """
        if all(run.run_id != run_id for run in self._results.entries):
            raise KeyError(run_id)
        record = self._records([run_id])[run_id]
        return gzip.compress(as_json(details_of(self._results.out, record)).encode(), 1)

    def _once(self, name: str, make: Callable[[], str]) -> bytes:
        # What is there already does not wait for what is being made.
        if name not in self._made:
            with self._lock:
                if name not in self._made:
                    self._made[name] = gzip.compress(make().encode(), 3)
        return self._made[name]

    def _records(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        return {record.run_id: record for record in RunFolder(self._results.out).read_all(run_ids)}


class LivePage:
    """Snapshots of an output folder, the latest of which is shown, and the progress of its sweep.

    Args:
        out: The folder.
        stored: Its predictions and embeddings.
        title: Heading of the page.
    """

    def __init__(self, out: Folder, stored: StoredResults, title: str) -> None:
        self._out, self._stored, self._title = out, stored, title
        self._stamps: dict[str, str] = {}
        self._view: SweepView | None = None
        self.stages: dict[str, Total] = {}
        """Progress of each stage of the sweep."""
        self.progress: list[str] = []
        """Lines on its driver, or on why the folder can't be read."""
        self.snapshot = self._look(0)
        """The latest snapshot."""

    def _look(self, version: int) -> Snapshot:
        self._stamps = (self._out / "runs").stamps(".json")
        snapshot = Snapshot(Results(self._out), self._stored, version, self._title)
        snapshot.page()
        return snapshot

    def refresh(self) -> None:
        """Make a new snapshot if a run file has changed, and look at the sweep."""
        try:
            stamps = (self._out / "runs").stamps(".json")
            # A stamp is empty while its file is so young that another change might not show.
            if stamps != self._stamps or "" in stamps.values():
                self.snapshot = self._look(self.snapshot.version + 1)
            # Without a sweep there is no progress to tell, and run files need not be read for it.
            if self._view is None and read_outline(self._out):
                self._view = SweepView(self._out)
            if self._view is not None:
                self._view.look()
                self.stages, self.progress = self._view.totals, [self._view.driver()]
        # A folder may be out of reach for a while; the page stays as it was.
        except (OSError, MTNeuroError) as error:
            self.progress = [f"{self._out}: can't be read now ({error})"]

    def prepare(self) -> None:
        """Make the table of all runs before it is asked for."""
        self.snapshot.data("runs")

    def state(self) -> bytes:
        """Version, sections and progress as JSON, compressed."""
        stages = [
            {"name": stage, "done": total.done, "failed": total.failed, "expected": total.expected}
            for stage, total in self.stages.items()
        ]
        found = {
            "version": self.snapshot.version,
            "parts": self.snapshot.parts,
            "stages": stages,
            "progress": self.progress,
        }
        return gzip.compress(as_json(found).encode(), 1)
