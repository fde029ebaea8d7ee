"""Which runs a sweep consists of, and which cell it selects. Pure: no torch, no ray, no files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mtneuro_ray.config.loading import Pair
from mtneuro_ray.config.run import Role, RunSettings
from mtneuro_ray.config.space import Scalar, SettingSpace
from mtneuro_ray.results.record import RunRecord

Cell = dict[str, Scalar]

DEFAULT_METRIC = {"classification": "val/accuracy", "segmentation": "val/dataset/iou_mean"}


@dataclass(frozen=True, slots=True)
class Search:
    """One setting of a sweep: a checked pair, its axes and seeds, and the data that it reads.

    Attributes:
        name: `model/setting`, for progress and errors.
        space: Axes, seeds, metric and mode.
        pair: Task and network.
        data: Identities of the volumes.
    """

    name: str
    space: SettingSpace
    pair: Pair
    data: tuple[str, ...]

    @classmethod
    def of(cls, space: SettingSpace, pair: Pair, data: Sequence[str]) -> Search:
        """The search of a setting."""
        return cls(f"{pair.network.table_name}/{pair.task.name}", space, pair, tuple(data))

    @property
    def metric(self) -> str:
        """The validation metric that selects the cell."""
        return self.space.metric or DEFAULT_METRIC[self.pair.task.task]

    def run(self, role: Role, seed: int, cell: Cell) -> RunSettings:
        """One run of this setting."""
        network = self.pair.network.replace(str(self.pair.network_file), seed=seed, **cell)
        return RunSettings(task=self.pair.task, network=network, role=role, data=self.data)

    def cell_run(self, cell: Cell) -> RunSettings:
        """The run that tries a cell."""
        return self.run("cell", self.space.search.seed, cell)

    def final_runs(self, cell: Cell) -> list[RunSettings]:
        """The runs that repeat a cell over the seeds."""
        return [self.run("final", seed, cell) for seed in self.space.seeds]

    def best_cell(self, record_of: Callable[[str], RunRecord | None]) -> Cell | None:
        """The cell with the best validation metric; the first of the grid among equals; None where all failed."""
        best: tuple[float, Cell] | None = None
        sign = 1.0 if self.space.mode == "max" else -1.0
        for cell in self.space.search.cells:
            record = record_of(self.cell_run(cell).run_id)
            value = record.metric(self.metric) if record is not None and record.status == "done" else None
            if value is not None and value == value and (best is None or sign * value > best[0]):
                best = (sign * value, cell)
        return best[1] if best else None


def unfinished(runs: Iterable[RunSettings], is_done: Callable[[str], bool]) -> list[RunSettings]:
    """The runs that still have to be trained, each once."""
    waiting = {run.run_id: run for run in runs}
    return [run for run_id, run in waiting.items() if not is_done(run_id)]
