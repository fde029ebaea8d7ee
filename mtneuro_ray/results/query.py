"""Queries of an output folder: best candidates, tables, all runs as a data frame."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from mtneuro_ray.config.space import Mode
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import imported
from mtneuro_ray.results import candidates, distances, index, paper_tables, scores, sql
from mtneuro_ray.results.compare.comparison import Comparison, comparisons
from mtneuro_ray.results.compare.experiments import Source
from mtneuro_ray.results.compare.marks import Judge
from mtneuro_ray.results.compare.series import ScoredImages
from mtneuro_ray.results.frame import Run, grouped, runs_of, tidy
from mtneuro_ray.results.tables import Table
from mtneuro_ray.results.tasks import shown_metric
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.image_scores import read_image_scores
from mtneuro_ray.storage.records import RunFolder, RunRecord

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Keys of every entry of `Results.best`.
BEST_COLUMNS: tuple[str, ...] = ("model", "task", "learning_rate", "batch_size", "metric", "value", "run_id")


class Results:
    """The runs of one output folder.

    Args:
        out: The folder, on this machine or in a bucket.
        runs: Only these runs; by default all runs of the folder, from its index if that is fresh.

    Example:
        >>> results = Results("out")
        >>> [entry["model"] for entry in results.best()]
        []
    """

    def __init__(self, out: str | os.PathLike[str] | Folder, runs: Sequence[Run] | None = None) -> None:
        self.out = out if isinstance(out, Folder) else Folder(out)
        self._all = index.load_runs(self.out) if runs is None else list(runs)

    @classmethod
    def of(cls, records: Iterable[RunRecord]) -> Self:
        """The results of some run files, in any order."""
        return cls(".", runs_of(records))

    def where(self, model: str | None = None, task: str | None = None, *, task_option: str = "--task") -> Self:
        """Only the runs of a model, a task, or both.

        Raises:
            InputError: there are none; the names that occur are listed, and the option that named the task.
        """
        chosen = self._all
        for option, key, wanted in (("--model", "model", model), (task_option, "task", task)):
            if wanted is None:
                continue
            names = sorted({run.summary[key] for run in chosen})
            chosen = [run for run in chosen if run.summary[key] == wanted]
            if not chosen:
                raise InputError(f"{option}: no run of {wanted!r}; accepted: {', '.join(names) or 'nothing yet'}")
        return type(self)(self.out, chosen)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def entries(self) -> Sequence[Run]:
        """The runs as the frame has them, in its order."""
        return self._all

    @cached_property
    def records(self) -> list[RunRecord]:
        """The whole run files, with the history of each run, in the order of the runs."""
        missing = [run.run_id for run in self._all if run.record is None]
        found = {record.run_id: record for record in RunFolder(self.out).read_all(missing)}
        every = [run.record or found.get(run.run_id) for run in self._all]
        return [record for record in every if record is not None]

    def model(self, run_id: str) -> Any:
        """The trained model of a finished run: a plain `torch.nn.Module` on the CPU, in evaluation mode.

        Raises:
            InputError: there is no such run, or its weights are missing, damaged or belong to other settings.
        """
        record = next((record for record in self.records if record.run_id == run_id), None)
        if record is None:
            raise InputError(f"run_id: {run_id}: no such run in {self.out}; accepted: one of `results runs`")
        return imported("mtneuro_ray.engine.finished:model_of")(self.out, record)

    def best(
        self, model: str | None = None, task: str | None = None, *, metric: str | None = None, mode: Mode | None = None
    ) -> list[dict[str, Any]]:
        """The best candidate of each model, task and scale; see `candidates.best`."""
        return candidates.best(self.where(model, task)._all, metric, mode)

    def table(self, model: str | None = None, task: str | None = None) -> list[Table]:
        """Means over seeds with their sample standard deviation, and the best candidates.

        "*" marks what is the best of a column, or not told apart from it; see `compare.marks`.

        Returns:
            A table per task that is not the benchmark's; then the paper's tables 1, A3, 3 and 2 with its values beside
            ours, the distance of our Table 2 from the paper's, and Table A4.
        """
        runs, judge = self.where(model, task)._all, Judge(self._images)
        return [
            *scores.score_tables(runs, judge),
            *paper_tables.tables(runs, judge),
            *distances.distance_tables(runs),
            *candidates.hyperparameter_tables(runs),
        ]

    def compare(
        self,
        *others: Results,
        metric: str | None = None,
        pairs: bool = False,
        paper: bool = False,
        block: int | None = None,
    ) -> list[Comparison]:
        """Differences of experiments, of this folder and others, that seeds and images explain or not.

        Args:
            others: Results of further output folders.
            metric: Name such as `dataset/iou_mean`, `test/dataset/iou_mean` or, of one class, `dataset/iou:vessels`;
                that by which runs of the task are judged by default.
            pairs: Compare all pairs; by default each experiment with the best one.
            paper: Compare each experiment with the paper's value instead.
            block: Block length in neighbouring images, as in slices; by default it follows from their correlation.

        Raises:
            InputError: there is nothing to compare, or no run has the metric.

        Example:
            >>> for comparison in Results("out").compare():
            ...     print(comparison.sentences[0])
        """
        sources = [Source(str(each.out), each._all, each._images) for each in (self, *others)]
        return comparisons(sources, metric, pairs=pairs, paper=paper, block=block)

    @cached_property
    def _images(self) -> ScoredImages:
        return ScoredImages(lambda run: read_image_scores(self.out, run.run_id))

    def proportions(self, model: str | None = None, task: str | None = None) -> list[Table]:
        """Class proportions of the data of final runs, per region and split, with the paper's for its Task 2."""
        return scores.proportion_tables(self.where(model, task)._all)

    def regions(self, model: str | None = None, task: str | None = None) -> list[Table]:
        """Scores of each region of the test split."""
        return scores.region_tables(self.where(model, task)._all)

    def confusion(self, model: str | None = None, task: str | None = None) -> list[Table]:
        """Confusion matrices of the test split, summed over the seeds, as counts and as % of the truth."""
        return scores.confusion_tables(self.where(model, task)._all)

    def runs(self, model: str | None = None, task: str | None = None) -> list[dict[str, Any]]:
        """One flat entry per run: status, settings of the summary and of the search, score, error and every number.

        "metric" names the metric that the run is judged by, and "score" is its value.
        """
        runs = self.where(model, task)._all
        columns = {key: candidates.searched(own) for key, own in grouped(runs, _experiment).items()}
        return [_entry(run, columns[_experiment(run)]) for run in runs]

    def frame(self) -> pd.DataFrame:
        """One row per run, split, region, class and metric, with the settings of the run; see `frame.tidy`."""
        return tidy(self._all)

    def to_pandas(self) -> pd.DataFrame:
        """`runs()` as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.runs())

    def sql(self, query: str) -> pd.DataFrame:
        """DuckDB's answer to a query of the tables `frame` and `runs`; see `sql.answer`.

        Raises:
            InputError: the query is wrong, or gives no table.
        """
        found: pd.DataFrame = self.answer(query).to_pandas()
        return found

    def answer(self, query: str, option: str = "sql") -> pa.Table:
        """The answer of `sql` as an Arrow table; `option` stands for the query in errors."""
        return sql.answer(self._all, self.runs, query, option)

    def matching(self, condition: str, option: str = "--where") -> Self:
        """Only the runs that fulfil a condition in SQL on the columns of `runs`, such as `seed < 3`.

        Raises:
            InputError: the condition is wrong, or no run fulfils it.
        """
        query = f"SELECT run_id FROM runs WHERE {condition}"
        wanted = set(self.answer(query, option)["run_id"].to_pylist())
        if not wanted:
            raise InputError(f"{option}: no run fulfils {condition!r}; accepted: a condition that some run fulfils")
        return type(self)(self.out, [run for run in self._all if run.run_id in wanted])


def _experiment(run: Run) -> tuple[str, str]:
    return (run.summary["task"], run.summary["model"])


def _entry(run: Run, columns: Mapping[str, str]) -> dict[str, Any]:
    metric = shown_metric(run)
    return {
        "run_id": run.run_id,
        "status": run.status,
        **run.summary,
        **{column: run.network.get(path) for path, column in columns.items()},
        "metric": metric,
        "score": None if metric is None else run.metric(metric),
        **run.scalars(),
        "seconds": run.seconds,
        "error": run.error,
    }


def best_columns(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Columns of entries of `Results.best`: keys that any entry has, with the searched ones before the metric."""
    keys = list(dict.fromkeys(key for entry in entries for key in entry))
    first, last = BEST_COLUMNS[:4], BEST_COLUMNS[4:]
    told = [key for key in ("std", "data", "ties", "close") if key in keys]
    return [*first, *(key for key in keys if key not in (*BEST_COLUMNS, *told)), *last, *told]


_RUN_COLUMNS = ("run_id", "status", "task", "model", "role", "learning_rate", "batch_size", "seed", "epochs")


def run_columns(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Columns of a list of entries of `Results.runs`, without the single metrics."""
    keys = dict.fromkeys(key for entry in entries for key in entry)
    last = ("metric", "score", "seconds", "error")
    return [*_RUN_COLUMNS, *(key for key in keys if "/" not in key and key not in (*_RUN_COLUMNS, *last)), *last]
