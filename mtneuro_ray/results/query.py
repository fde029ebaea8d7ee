"""Questions to an output folder: which cell is best, what the tables say, all runs as a data frame."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from mtneuro_ray.config.space import METRICS
from mtneuro_ray.errors import InputError
from mtneuro_ray.results.record import RunFolder, RunRecord, scalars
from mtneuro_ray.results.tables import Table, result_tables
from mtneuro_ray.storage import Folder

if TYPE_CHECKING:
    import pandas as pd


def load(out: str | os.PathLike[str] | Folder) -> Results:
    """The results of an output folder, on this machine or in a bucket."""
    return Results(RunFolder(out if isinstance(out, Folder) else Folder(out)).all())


class Results:
    """The runs of one output folder.

    Args:
        records: The runs, in any order.
    """

    def __init__(self, records: Iterable[RunRecord]) -> None:
        self.records = sorted(records, key=_order)

    def where(self, model: str | None = None, setting: str | None = None) -> Results:
        """Only the runs of a model, a setting, or both.

        Raises:
            InputError: there are none; the names that occur are listed.
        """
        chosen = self.records
        for key, wanted in (("model", model), ("setting", setting)):
            if wanted is None:
                continue
            names = sorted({record.summary[key] for record in chosen})
            chosen = [record for record in chosen if record.summary[key] == wanted]
            if not chosen:
                raise InputError(f"--{key}: no run of {wanted!r}; accepted: {', '.join(names) or 'nothing yet'}")
        return Results(chosen)

    def best(
        self,
        model: str | None = None,
        setting: str | None = None,
        *,
        metric: str | None = None,
        mode: Literal["max", "min"] = "max",
    ) -> list[dict[str, Any]]:
        """The best cell of each model, setting and scale, by a validation metric.

        Args:
            model: Only this one.
            setting: Only this one.
            metric: Such as `val/dataset/iou_mean`; the task's own by default.
            mode: Whether larger or smaller is better.

        Returns:
            One entry per model and setting with the keys model, setting, learning_rate, batch_size, metric, value
            and run_id.
        """
        sign = 1 if mode == "max" else -1
        best: dict[tuple[Any, ...], dict[str, Any]] = {}
        for record in self.where(model, setting).records:
            name = metric or METRICS[record.settings["task"]["task"]][0]
            value = record.metric(name)
            if record.status != "done" or record.summary["role"] != "cell" or value is None or value != value:
                continue
            summary = record.summary
            key = (summary["setting"], summary["model"], summary["epochs"], *record.settings["data"])
            if key not in best or sign * value > sign * best[key]["value"]:
                best[key] = {
                    **{name: summary[name] for name in ("model", "setting", "learning_rate", "batch_size")},
                    "metric": name,
                    "value": value,
                    "run_id": record.run_id,
                }
        return list(best.values())

    def table(self, model: str | None = None, setting: str | None = None) -> list[Table]:
        """Tables as the paper's 1 and 2, one per setting: means over seeds, and their sample standard deviation."""
        return result_tables(self.where(model, setting).records)

    def runs(self, model: str | None = None, setting: str | None = None) -> list[dict[str, Any]]:
        """One flat entry per run: its summary, status, error and every number of its metrics."""
        return [
            {
                "run_id": record.run_id,
                "status": record.status,
                **record.summary,
                **scalars(record.metrics),
                "seconds": record.timings.get("total_s"),
                "error": record.error,
            }
            for record in self.where(model, setting).records
        ]

    def to_pandas(self) -> pd.DataFrame:
        """`runs()` as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.runs())


def _order(record: RunRecord) -> tuple[Any, ...]:
    summary = record.summary
    return (
        summary["setting"],
        summary["model"],
        summary["role"],
        summary["learning_rate"],
        summary["batch_size"],
        summary["seed"],
        record.run_id,
    )
