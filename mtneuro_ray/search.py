"""Which runs a sweep consists of, and which cell it selects. Pure: no torch, no ray, no files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mtneuro_ray.config.loading import Pair
from mtneuro_ray.config.run import Role, RunSettings
from mtneuro_ray.config.space import METRICS, Scalar, SettingSpace
from mtneuro_ray.results.record import RunRecord

Cell = dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of a sweep.

    Attributes:
        run: What is trained.
        pair: The task and network that it comes from.
        point: The parameters under which Tune and Optuna know it, "setting" first.
        metric: The validation metric that it is judged by.
    """

    run: RunSettings
    pair: Pair
    point: Cell
    metric: str

    def __str__(self) -> str:
        return " ".join([str(self.point["setting"]), *(f"{k}={v}" for k, v in self.point.items() if k != "setting")])


@dataclass(frozen=True, slots=True)
class Search:
    """One setting of a sweep: a checked pair, its axes and seeds, and the data that it reads.

    Attributes:
        name: `model/setting`.
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
        return self.space.metric or METRICS[self.pair.task.task][0]

    def cell_plans(self) -> list[Plan]:
        """A run for each cell, trained with the search's own seed."""
        return [self._plan("cell", self.space.search.seed, cell, cell) for cell in self.space.search.cells]

    def final_plans(self, cell: Cell) -> list[Plan]:
        """A run for each seed at one cell."""
        return [self._plan("final", seed, cell, {**cell, "seed": seed}) for seed in self.space.seeds]

    def _plan(self, role: Role, seed: int, cell: Cell, point: Cell) -> Plan:
        network = self.pair.network.replace(str(self.pair.network_file), **{**cell, "seed": seed})
        run = RunSettings(task=self.pair.task, network=network, role=role, data=self.data)
        return Plan(run, self.pair, {"setting": self.name, **point}, self.metric)

    def best_cell(self, record_of: Callable[[str], RunRecord | None]) -> Cell | None:
        """The cell with the best validation metric; the first of the grid among equals; None where all failed."""
        best: tuple[float, Cell] | None = None
        sign = 1.0 if self.space.mode == "max" else -1.0
        for cell, plan in zip(self.space.search.cells, self.cell_plans(), strict=True):
            record = record_of(plan.run.run_id)
            value = record.metric(self.metric) if record is not None and record.status == "done" else None
            if value is not None and value == value and (best is None or sign * value > best[0]):
                best = (sign * value, cell)
        return best[1] if best else None
