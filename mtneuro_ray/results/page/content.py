"""What a page of an output folder consists of: its sections in their order, and the data that its charts ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

from mtneuro_ray.results.cautions import confusion_of
from mtneuro_ray.results.charts.confusion import Confusion, confusions_of
from mtneuro_ray.results.charts.curves import Line, Panel, curve_runs, panels_of
from mtneuro_ray.results.charts.searches import Grid, Search, grid_of, searches_of
from mtneuro_ray.results.frame import Run
from mtneuro_ray.results.methods import finished
from mtneuro_ray.results.page.details import shared_details
from mtneuro_ray.results.page.shown import failures_of, shown_table
from mtneuro_ray.results.page.summary import summary_of
from mtneuro_ray.results.query import Results, run_columns
from mtneuro_ray.storage.records import RunRecord

Records = Callable[[Sequence[str]], Mapping[str, RunRecord]]

_CHOICES = ("status", "task", "model", "role")


class Part(NamedTuple):
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
    """

    def __init__(self, results: Results, records: Records) -> None:
        self.results, self._records = results, records

    @cached_property
    def searches(self) -> list[Search]:
        """What is compared in one chart."""
        return searches_of(self.results.entries)

    @cached_property
    def _finals(self) -> list[Run]:
        return finished(self.results.entries)

    @cached_property
    def data(self) -> dict[str, Callable[[], Any]]:
        """Name -> what makes the data of that name."""
        return {
            "runs": self._runs,
            "details": self._details,
            "confusions": lambda: [_confusion(found) for found in confusions_of(self.results.entries)],
            "searches": lambda: [{"title": search.title} for search in self.searches],
            **{f"search-{place}": partial(self._search, search) for place, search in enumerate(self.searches)},
        }

    def context(self, pictures: Sequence[Any] = (), notes: Iterable[str] = ()) -> dict[str, Any]:
        """What the templates show."""
        failures, num_more = failures_of(self.results.out, self.results.entries)
        tables = [*self.results.table(), *self.results.regions(), *self.results.proportions()]
        found = {
            "summary": summary_of(self.results),
            "tables": [shown_table(table) for table in tables],
            "pictures": pictures,
            "notes": list(notes),
            "failures": failures,
            "num_more_failures": num_more,
        }
        return {**found, "parts": self._parts(found)}

    def _parts(self, found: Mapping[str, Any]) -> list[Part]:
        parts = [Part("summary", "Summary", "summary.html")]
        if found["tables"]:
            note = "Means over seeds, with the sample standard deviation. A click on a heading sorts."
            parts.append(Part("tables", "Tables", "tables.html", note=note))
        parts.append(Part("runs", "Runs", view="runs", note="A click on a run's id shows its settings and its log."))
        if self.searches:
            note = "A click on a point shows its run."
            parts.append(Part("search", "Curves and search", view="searches", note=note))
        if any(confusion_of(run) for run in self._finals):
            note = "Shares of each true class in the test split, over all seeds of a method."
            parts.append(Part("confusion", "Confusion", view="confusions", note=note))
        if found["pictures"] or found["notes"]:
            parts.append(Part("pictures", "Pictures", "pictures.html"))
        if found["failures"]:
            parts.append(Part("failures", "Failures", "failures.html"))
        return parts

    def _runs(self) -> dict[str, Any]:
        entries = self.results.runs()
        names = run_columns(entries)
        columns = [{"name": name, "kind": _kind(name, [entry.get(name) for entry in entries])} for name in names]
        return {"columns": columns, "rows": [[entry.get(name) for name in names] for entry in entries]}

    def _details(self) -> dict[str, Any]:
        runs = self.results.entries
        return shared_details(runs, self._records([run.run_id for run in runs]))

    def _search(self, search: Search) -> dict[str, Any]:
        panels = panels_of(search, self._records(curve_runs(search)))
        grid = None if search.metric is None else grid_of(search.runs, search.metric)
        return {
            "metric": search.metric,
            "panels": [_panel(panel) for panel in panels],
            "grid": None if grid is None else _grid(grid),
        }


def _kind(name: str, values: Iterable[Any]) -> str:
    if name in _CHOICES:
        return "choice"
    is_number = all(value is None or (isinstance(value, (int, float)) and value is not True) for value in values)
    return "number" if is_number else "text"


def _panel(panel: Panel) -> dict[str, Any]:
    def line(own: Line) -> dict[str, Any]:
        return {**own._asdict(), "curve": list(own.curve.items())}

    return {
        **panel._asdict(),
        "candidates": [line(own) for own in panel.candidates],
        "stopped": [line(own) for own in panel.stopped],
        "methods": [
            {
                "label": seeds.label,
                "lines": [line(own) for own in seeds.lines],
                "mean": list(seeds.mean.items()),
                "std": list(seeds.std.values()),
            }
            for seeds in panel.methods
        ],
    }


def _confusion(found: Confusion) -> dict[str, Any]:
    return {"lines": found.lines, "classes": found.classes, "counts": found.counts.tolist(), "unit": found.unit}


def _grid(grid: Grid) -> dict[str, Any]:
    values = [(row, column, value) for (row, column), value in grid.values.items()]
    return {**grid._asdict(), "values": values, "is_filled": grid.is_filled}
