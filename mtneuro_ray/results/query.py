"""Questions to an output folder: which candidate is best, what the tables say, all runs as a data frame."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry
from mtneuro_ray.results import breakdowns, encoder_tables, paper_tables, scores
from mtneuro_ray.results.benchmark import parts_of, scale_of
from mtneuro_ray.results.encoders import mixup_of
from mtneuro_ray.results.methods import by_method, finished, method_of
from mtneuro_ray.results.tables import Table
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord, scalars

if TYPE_CHECKING:
    import pandas as pd

# Keys that every entry of `Results.best` has.
BEST_COLUMNS: tuple[str, ...] = ("model", "task", "learning_rate", "batch_size", "metric", "value", "run_id")


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

    def where(self, model: str | None = None, task: str | None = None) -> Results:
        """Only the runs of a model, a task, or both.

        Raises:
            InputError: there are none; the names that occur are listed.
        """
        chosen = self.records
        for key, wanted in (("model", model), ("task", task)):
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
        task: str | None = None,
        *,
        metric: str | None = None,
        mode: Literal["max", "min"] = "max",
    ) -> list[dict[str, Any]]:
        """The best candidate of each model, task and scale, by a validation metric; of equals the one with seed runs.

        The value of a candidate that was repeated over seeds is the mean over them.

        Args:
            model: Only this one.
            task: Only this one.
            metric: Such as `val/dataset/iou_mean`; the task's own by default.
            mode: Whether larger or smaller is better.

        Returns:
            One entry per model and task with the keys model, task, learning_rate, batch_size, metric, value
            and run_id, which is that of the first seed; of a network with mixup also mixup_probability.

        Raises:
            InputError: there is no such model, task or metric.
        """
        sign = 1 if mode == "max" else -1
        chosen = self.where(model, task).records
        repeated = {method_of(record) for record in chosen if record.summary["role"] == "final"}
        best: dict[tuple[Any, ...], dict[str, Any]] = {}
        ranks: dict[tuple[Any, ...], tuple[float, bool]] = {}
        candidates = finished(chosen, "candidate")
        names = sorted({name for record in candidates for name in scalars(record.metrics)})
        if metric is not None and candidates and metric not in names:
            raise InputError(f"--metric: no candidate has {metric!r}; accepted: {', '.join(names)}")
        for seeds in by_method(candidates):
            record, summary = seeds[0], seeds[0].summary
            name = metric or registry("tasks").find(record.settings["task"]["task"]).shown
            value = _mean([run.metric(name) for run in seeds])
            if math.isnan(value):
                continue
            key = (summary["task"], summary["model"], summary["epochs"], scale_of(record), *record.settings["data"])
            rank = (sign * value, method_of(record) in repeated)
            if key not in best or rank > ranks[key]:
                ranks[key] = rank
                best[key] = _entry(record, name, value)
        return list(best.values())

    def table(self, model: str | None = None, task: str | None = None) -> list[Table]:
        """Means over seeds with their sample standard deviation, and the best candidates.

        Returns:
            The paper's tables of the benchmark's own tasks, with the paper's values in them: 1, A3 and 3; 2, how far it
            is from the paper's, and A4. A table per task of all other tasks.
        """
        chosen = self.where(model, task)
        return [
            *scores.score_tables(chosen.records),
            *encoder_tables.accuracy_tables(chosen.records),
            *encoder_tables.readout_tables(chosen.records),
            *paper_tables.score_tables(chosen.records),
            *paper_tables.distance_tables(chosen.records),
            *chosen.hyperparameters(),
        ]

    def hyperparameters(self, model: str | None = None, task: str | None = None) -> list[Table]:
        """Table A4: the best candidates of the benchmark's Task 2 by their own metric, and the paper's beside them."""
        parts = [(part, own, Results(own).best()) for part, own in parts_of(self.where(model, task).records)]
        return [paper_tables.cell_table(part, finished(own, "candidate"), best) for part, own, best in parts if best]

    def proportions(self, model: str | None = None, task: str | None = None) -> list[Table]:
        """Class proportions of the data of final runs, per region and split, the paper's beside those of its Task 2."""
        return breakdowns.proportion_tables(self.where(model, task).records)

    def regions(self, model: str | None = None, task: str | None = None) -> list[Table]:
        """F1 and IoU of each region of the test split, in both reductions."""
        return breakdowns.region_tables(self.where(model, task).records)

    def confusion(self, model: str | None = None, task: str | None = None) -> list[Table]:
        """Confusion matrices of the test split, summed over the seeds, as counts and as % of the truth."""
        return breakdowns.confusion_tables(self.where(model, task).records)

    def runs(self, model: str | None = None, task: str | None = None) -> list[dict[str, Any]]:
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
            for record in self.where(model, task).records
        ]

    def to_pandas(self) -> pd.DataFrame:
        """`runs()` as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.runs())


def _mean(values: Sequence[float | None]) -> float:
    """The mean over the seeds of a candidate; NaN where one of them has no number."""
    return statistics.fmean(math.nan if value is None else value for value in values)


def _entry(record: RunRecord, metric: str, value: float) -> dict[str, Any]:
    probability = mixup_of(record)
    return {
        **{name: record.summary[name] for name in ("model", "task", "learning_rate", "batch_size")},
        "metric": metric,
        "value": value,
        "run_id": record.run_id,
        **({} if probability is None else {"mixup_probability": probability}),
    }


def best_columns(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Keys of entries of `Results.best`, as columns: those that any entry has."""
    return list(dict.fromkeys((*BEST_COLUMNS, *(key for entry in entries for key in entry))))


def _order(record: RunRecord) -> tuple[Any, ...]:
    summary = record.summary
    return (
        summary["task"],
        summary["model"],
        summary["role"],
        summary["learning_rate"],
        summary["batch_size"],
        summary["epochs"],
        summary["seed"],
        record.run_id,
    )
