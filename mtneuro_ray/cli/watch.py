"""`mtneuro-ray results runs --watch`: progress of a sweep, from any machine that reads its output folder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from contextlib import nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mtneuro_ray.results.watching import SweepView
from mtneuro_ray.storage.folder import Folder

_LAST_LINES = 8


def watch(out: Folder, seconds: float) -> int:
    """Show a sweep until no driver is at work on it: a table on a terminal, otherwise a line for each run that ends.

    Args:
        out: Output folder of the sweep.
        seconds: Time between two looks.

    Returns:
        0; 1 where runs failed.
    """
    view, last = SweepView(out), deque[str](maxlen=_LAST_LINES)
    console = Console(highlight=False, soft_wrap=True)
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        while True:
            ended = view.look()
            if live is None:
                for line in view.news(ended):
                    print(line, flush=True)
            else:
                last.extend(map(view.line, ended[-_LAST_LINES:]))
                live.update(_table(view, last), refresh=True)
            if view.is_over:
                return 1 if any(total.failed for total in view.totals.values()) else 0
            time.sleep(seconds)


def _table(view: SweepView, lines: Iterable[str]) -> Group:
    """The stages, the driver, the best candidates and some last lines, for a terminal."""
    table = Table("stage", "done", "failed", "to come")
    for stage, total in view.totals.items():
        to_come = total.expected - total.done - total.failed
        table.add_row(stage, str(total.done), str(total.failed), str(to_come))
    return Group(table, *map(Text, [f"{view.out}", view.driver(), *view.best(), *lines]))
