"""A static page of submissions: for each task and its data a table that sorts, with means over seeds."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from mtneuro_ray.results.bundle import Bundle
from mtneuro_ray.results.frame import Run, grouped, runs_of
from mtneuro_ray.results.methods import finished
from mtneuro_ray.results.page.document import document
from mtneuro_ray.results.tasks import NO_SCORES, mode_of_run, selection_metric

_FIRST = ("Submission", "Model", "Seeds")
_ADDRESSES = ("image_chan", "annotation_chan", "mask_chan", "volumes")


class BoardCell(NamedTuple):
    """Text, and the number by which a column sorts; None for text."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Board:
    """The table of one task on the same data.

    Attributes:
        title: Name of the task.
        about: Data, and images.
        columns: Headings.
        main: Index of the column that orders the rows.
        rows: The best first.
    """

    title: str
    about: str
    columns: Sequence[str]
    main: int
    rows: Sequence[Sequence[BoardCell]]


def leaderboard(bundles: Sequence[Bundle], title: str) -> str:
    """The page, which loads nothing and escapes all text of the submissions."""
    folder = files("mtneuro_ray.results.leaderboard") / "assets"
    style, script = ((folder / name).read_text() for name in ("board.css", "board.js"))
    return document("board.html", style, script, title=title, boards=boards(bundles), bundles=bundles)


def boards(bundles: Sequence[Bundle]) -> list[Board]:
    """A table for each task and state of its data and images, in the order of their names."""
    found = [(bundle, run) for bundle in bundles for run in finished(runs_of(bundle.records))]
    own = grouped(found, lambda pair: _comparable(pair[1]))
    return [_board(own[key]) for key in sorted(own)]


def _comparable(run: Run) -> tuple[str, str, str]:
    """What runs share that can be compared: the task with its images, but not its addresses; and the data."""
    task = {key: value for key, value in run.task.items() if key not in _ADDRESSES}
    return str(run.task["name"]), json.dumps(run.data), json.dumps(task, sort_keys=True)


def _board(found: Sequence[tuple[Bundle, Run]]) -> Board:
    runs = [run for _, run in found]
    metrics = list(dict.fromkeys(name for run in runs for name in _scores(run)))
    main = _main(runs[0], metrics)
    metrics.sort(key=lambda name: name != main)
    rows = [
        _row(bundles[0], [run for _, run in own], metrics)
        for own in grouped(found, lambda pair: (pair[0].digest, pair[1].method)).values()
        for bundles in [[bundle for bundle, _ in own]]
    ]
    sign = -1 if main is None or mode_of_run(runs[0], main) == "max" else 1
    place = len(_FIRST) if metrics else len(_FIRST) - 1

    def order(row: Sequence[BoardCell]) -> float:
        value = row[place].value
        return math.inf if value is None else sign * value

    rows.sort(key=order)
    digest = hashlib.sha256("".join(_comparable(runs[0])).encode()).hexdigest()[:8]
    regions = ", ".join(dict.fromkeys(str(cube["region"]) for cube in runs[0].task["cubes"]))
    return Board(
        title=str(runs[0].task["name"]),
        about=f"{runs[0].data[0]}; regions {regions}; images {digest}",
        columns=[*_FIRST, *metrics],
        main=place,
        rows=rows,
    )


def _scores(run: Run) -> Iterator[str]:
    for name in run.scalars():
        split, _, metric = name.partition("/")
        if split != "val" and metric not in NO_SCORES:
            yield name


def _main(run: Run, metrics: Sequence[str]) -> str | None:
    """The metric that candidates are selected by, on test; else the first."""
    selected = (selection_metric(run) or "").removeprefix("val/")
    return next((name for name in metrics if name == f"test/{selected}"), metrics[0] if metrics else None)


def _row(bundle: Bundle, seeds: Sequence[Run], metrics: Iterable[str]) -> list[BoardCell]:
    count = len({run.summary["seed"] for run in seeds})
    first = [BoardCell(bundle.name), BoardCell(str(seeds[0].summary["model"])), BoardCell(str(count), count)]
    return [*first, *(_mean([run.metric(name) for run in seeds]) for name in metrics)]


def _mean(values: Sequence[float | None]) -> BoardCell:
    known = [value for value in values if value is not None]
    if not known:
        return BoardCell("-")
    mean = statistics.mean(known)
    spread = f" \N{PLUS-MINUS SIGN} {statistics.stdev(known):.3f}" if len(known) > 1 else ""
    return BoardCell(f"{mean:.3f}{spread}", mean)
