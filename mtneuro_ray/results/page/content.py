"""What a page of an output folder consists of: its sections in their order, and the data that its charts ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from mtneuro_ray.results.cautions import confusion_of
from mtneuro_ray.results.charts.boxes import Box
from mtneuro_ray.results.charts.confusion import confusions_of
from mtneuro_ray.results.charts.curves import curve_runs, panels_of
from mtneuro_ray.results.charts.importance import Studies
from mtneuro_ray.results.charts.parallel import parallel_of
from mtneuro_ray.results.charts.scores import scores_of
from mtneuro_ray.results.charts.searches import Search, grid_of, searches_of
from mtneuro_ray.results.charts.timings import Timings, timings_of
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.methods import finished
from mtneuro_ray.results.page import encoded, viewers
from mtneuro_ray.results.page.cells import failures_of, shown_table
from mtneuro_ray.results.page.details import shared_details
from mtneuro_ray.results.page.stored_results import StoredResults
from mtneuro_ray.results.page.summary import summary_of
from mtneuro_ray.results.query import Results, run_columns
from mtneuro_ray.storage.records import RunRecord

Records = Callable[[Sequence[str]], Mapping[str, RunRecord]]

_CHOICES = ("status", "task", "model", "role")


class PagePart(NamedTuple):
    """A section of the page: its template, filled when the page is made, and its view, drawn by the script."""

    id: str
    title: str
    template: str = ""
    view: str = ""
    note: str = ""


class Content:
    """The page's sections and data, each made when it is asked for.

    Args:
        results: The runs.
        records: Run ids -> run files, for what the index lacks.
        stored: Predictions and embeddings of the folder; without it they are not shown.
        price_per_node_hour: Price of a host for each hour in which it had a run, where the cost is wanted.
    """

    def __init__(
        self,
        results: Results,
        records: Records,
        stored: StoredResults | None = None,
        price_per_node_hour: float | None = None,
    ) -> None:
        self.results, self._records, self._stored = results, records, stored
        self._price = price_per_node_hour

    @cached_property
    def searches(self) -> list[Search]:
        """What is compared in one chart."""
        return searches_of(self.results.entries)

    @cached_property
    def studies(self) -> Studies:
        """Optuna's studies of the folder."""
        return Studies(self.results.out)

    @cached_property
    def _finals(self) -> list[Run]:
        return finished(self.results.entries)

    @property
    def names(self) -> list[str]:
        """Names of all data of the page."""
        boxes = range(len(self._boxes[0]))
        searches = range(len(self.searches))
        return [*self._makers, *(f"search-{place}" for place in searches), *(f"box-{place}" for place in boxes)]

    def make(self, name: str) -> Any:
        """The data of a name, ready for JSON.

        Raises:
            KeyError: there are none.
        """
        kind, _, place = name.rpartition("-")
        if kind == "search" and place.isdecimal() and int(place) < len(self.searches):
            return self._search(self.searches[int(place)])
        if kind == "box" and place.isdecimal() and int(place) < len(self._boxes[0]):
            return viewers.box(self._boxes[0][int(place)])
        return self._makers[name]()

    @cached_property
    def _makers(self) -> dict[str, Callable[[], Any]]:
        return {
            "runs": self._runs,
            "details": self._details,
            "scores": lambda: [encoded.scores(found) for found in scores_of(self.results.entries)],
            "confusions": lambda: [encoded.confusion(found) for found in confusions_of(self.results.entries)],
            "timings": lambda: {**encoded.timings(self._timings), "cost": self._cost, "price": self._price},
            "searches": lambda: [{"title": search.title} for search in self.searches],
            "boxes": lambda: {"titles": [box.title for box in self._boxes[0]], "notes": self._boxes[1]},
            "clouds": self._clouds,
            "pictures": self._pictures,
        }

    def _clouds(self) -> dict[str, Any]:
        notes: list[str] = []
        found = [] if self._stored is None else self._stored.clouds(self._final_records, notes)
        return {"clouds": [viewers.cloud(cloud) for cloud in found], "notes": notes}

    def _pictures(self) -> dict[str, Any]:
        notes: list[str] = []
        found = [] if self._stored is None else self._stored.pictures(self._final_records, notes)
        return {"pictures": [viewers.picture(picture) for picture in found], "notes": notes}

    @cached_property
    def _boxes(self) -> tuple[list[Box], list[str]]:
        """The boxes, and notes on what could not be shown."""
        notes: list[str] = []
        return ([] if self._stored is None else self._stored.boxes(self._final_records, notes)), notes

    @cached_property
    def _final_records(self) -> list[RunRecord]:
        return list(self._records_of(self._finals).values())

    def _records_of(self, runs: Iterable[Run]) -> Mapping[str, RunRecord]:
        return self._records([run.run_id for run in runs])

    def context(self) -> dict[str, Any]:
        """What the templates show."""
        failures, num_more = failures_of(self.results.out, self.results.entries)
        tables = [*self.results.table(), *self.results.regions(), *self.results.proportions()]
        found = {
            "summary": summary_of(self.results, self._cost),
            "tables": [shown_table(table) for table in tables],
            "failures": failures,
            "num_more_failures": num_more,
        }
        return {**found, "parts": self._parts(found)}

    def _parts(self, found: Mapping[str, Any]) -> list[PagePart]:
        parts = [PagePart("summary", "Summary", "summary.html")]
        if found["tables"]:
            note = "Means over seeds, with the sample standard deviation. A click on a heading sorts."
            parts.append(PagePart("tables", "Tables", "tables.html", note=note))
        parts.append(
            PagePart("runs", "Runs", view="runs", note="A click on a run's id shows its settings and its log.")
        )
        if self.searches:
            note = "A click on a point shows its run."
            parts.append(PagePart("search", "Curves and search", view="searches", note=note))
        if self._finals:
            note = "Each seed of each method, the mean, and one sample deviation to both sides."
            parts.append(PagePart("scores", "Seeds and classes", view="scores", note=note))
        if any(confusion_of(run) for run in self._finals):
            note = "Shares of each true class in the test split, over all seeds of a method."
            parts.append(PagePart("confusion", "Confusion", view="confusions", note=note))
        parts += self._stored_parts()
        parts.append(PagePart("timings", "Time", view="timings"))
        if found["failures"]:
            parts.append(PagePart("failures", "Failures", "failures.html"))
        return parts

    def _stored_parts(self) -> list[PagePart]:
        stored, records = self._stored, self._final_records
        if stored is None or not records:
            return []
        parts = []
        if stored.has_predictions(records):
            note = "What models predict of the test split, slice by slice."
            parts.append(PagePart("slices", "Slices", view="boxes", note=note))
        if stored.has_projections():
            parts.append(
                PagePart("embeddings", "Embeddings", view="clouds", note="Each point is a corner of an image.")
            )
        parts.append(PagePart("pictures", "Pictures", view="pictures"))
        return parts

    def _runs(self) -> dict[str, Any]:
        entries = self.results.runs()
        # The score stands where it is seen in a narrow window, too.
        first = (*_CHOICES, "score")
        names = ["run_id", *first, *(name for name in run_columns(entries) if name not in ("run_id", *first))]
        columns = [{"name": name, "kind": _kind(name, [entry.get(name) for entry in entries])} for name in names]
        return {"columns": columns, "rows": [[entry.get(name) for name in names] for entry in entries]}

    def _details(self) -> dict[str, Any]:
        return shared_details(self.results.entries, self._records_of(self.results.entries))

    @cached_property
    def _timings(self) -> Timings:
        return timings_of(self.searches, self._records_of(self.results.entries))

    @property
    def _cost(self) -> float | None:
        return None if self._price is None else self._timings.cost(self._price)

    def _search(self, search: Search) -> dict[str, Any]:
        importance, parallel = self.studies.importance(search), parallel_of(search)
        shares = {} if importance is None else importance.shares
        grid = None if search.metric is None else grid_of(search.runs, search.metric, shares)
        return {
            "metric": search.metric,
            "panels": [encoded.panel(panel) for panel in panels_of(search, self._records_of(curve_runs(search)))],
            "grid": None if grid is None else encoded.grid(grid),
            "parallel": None if parallel is None or len(parallel.axes) < 2 else encoded.parallel(parallel),
            "importance": None if importance is None else importance._asdict(),
        }


def _kind(name: str, values: Iterable[Any]) -> str:
    if name in _CHOICES:
        return "choice"
    is_number = all(value is None or (isinstance(value, (int, float)) and value is not True) for value in values)
    return "number" if is_number else "text"
