"""Tune spaces: experiments, each a search over axes and a repetition over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mtneuro_ray.config.base import Name, Positive, Seed, Settings, flattened, read_toml, shortened
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.search_axes import Axis, Range, Scalar, check_axis, check_number, checked_values, draw
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry

Mode = Literal["max", "min"]
Candidate = dict[str, Scalar]


def _with_nulls(values: Any) -> Any:
    """The table with None for each text "null": TOML has no null, and keys such as `encoder_weights` take it."""
    if not isinstance(values, dict):
        return values
    return {key: None if value == "null" else value for key, value in values.items()}


Few = Annotated[int, Field(ge=1, le=100_000)]


def mode_of(metric: str, kind: Any, added: Iterable[str] = ()) -> Mode:
    """Whether larger ("max") or smaller ("min") values of a metric are better.

    Args:
        metric: Name such as `val/dataset/iou_mean`, with or without its split.
        kind: Declaration of the kind of task, a `tasks.base.TaskDeclaration`.
        added: Names of metrics that a network adds (`evaluation.metrics`).
    """
    split, _, rest = metric.partition("/")
    key = rest if split in ("train", "val", "test", "all") else metric
    if key == "loss":
        return "min"
    for name in (*kind.metrics, *added):
        declaration = registry("metrics").find(name)
        if key in (declaration.name, f"{declaration.name}_mean"):
            better: Mode = declaration.better
            return better
    return "max"


class SearchSettings(Settings):
    """Search of one experiment for a candidate."""

    sampler: Literal["grid", "random", "tpe"] = "grid"
    """grid: every combination of the axes. random: `trials` combinations, drawn by `seed`. tpe: `trials` combinations,
    proposed by Optuna's Tree-structured Parzen Estimator from earlier results."""
    trials: Few | None = None
    """Number of candidates of random and tpe; a candidate that is drawn or proposed twice counts twice and is trained
    once. Without ranges, random takes the whole grid if the grid has no more candidates or this is left out."""
    round: Positive | None = None
    """Candidates that tpe proposes at once, 4 by default; it proposes again when all of them have results. So its
    candidates depend on results alone, whatever runs at once, fails or is killed. Larger rounds use more of a cluster,
    smaller rounds learn more from earlier results."""
    seed: Seed = 0
    """Seed of the sampler, and of the training of every candidate."""
    over_seeds: bool = False
    """Whether each candidate is trained with every seed of the experiment and judged by the mean, as the paper judges
    mixup's probabilities (Appendix 3.2.4). The runs at the selected candidate are then only evaluated."""
    axes: dict[str, Axis] = Field(default_factory=dict)
    """Axis of each searched key of the network: a list of values, or for random and tpe a range such as
    `{ low = 1e-4, high = 0.1, log = true }`, for whole numbers `{ low = 8, high = 64, step = 8 }`."""

    @property
    def candidates(self) -> list[Candidate]:
        """Candidates known before any result: the grid, last axis fastest; drawn ones over ranges; none for tpe."""
        if self.sampler == "tpe":
            return []
        if self._has_ranges:
            random = Random(self.seed)
            drawn = [{key: draw(axis, random) for key, axis in self.axes.items()} for _ in range(self.trials or 0)]
            return list({tuple(candidate.values()): candidate for candidate in drawn}.values())
        grid = self._grid
        if self.sampler == "grid" or self.trials is None or self.trials >= len(grid):
            return grid
        return [grid[index] for index in sorted(Random(self.seed).sample(range(len(grid)), self.trials))]

    @property
    def checked_candidates(self) -> list[Candidate]:
        """Candidates to check beforehand; they stand for every candidate that the search can propose."""
        return self._grid if self.sampler == "tpe" or self._has_ranges else self.candidates

    @property
    def num_candidates(self) -> int:
        """Largest number of candidates that are trained."""
        return self.trials or 0 if self.sampler == "tpe" else len(self.candidates)

    @property
    def _has_ranges(self) -> bool:
        return any(isinstance(axis, Range) for axis in self.axes.values())

    @property
    def _grid(self) -> list[Candidate]:
        values = [checked_values(axis) for axis in self.axes.values()]
        return [dict(zip(self.axes, candidate, strict=True)) for candidate in product(*values)]

    def check(self, where: str) -> None:
        """Check the axes, and the other keys against the sampler. `axes.resolved` checks axes against a network."""
        for key, axis in self.axes.items():
            check_axis(axis, f"{where}: search.axes.{key}")
            if self.sampler == "grid" and isinstance(axis, Range):
                raise InputError(
                    f"{where}: search.axes.{key}: is a range, which has no grid; accepted: a list of values, or "
                    "sampler 'random' or 'tpe'"
                )
        check_number(self.axes, where)
        if self.sampler == "grid" and self.trials is not None:
            raise InputError(f"{where}: search.trials: has no meaning for a grid; accepted: leave it out")
        if self.sampler == "tpe" and self.over_seeds:
            raise InputError(f"{where}: search.over_seeds: is not for tpe; accepted: sampler 'grid' or 'random'")
        if self.sampler != "tpe" and self.round is not None:
            raise InputError(f"{where}: search.round: has no meaning for {self.sampler}; accepted: leave it out")
        if self.trials is None and (self.sampler == "tpe" or self._has_ranges):
            raise InputError(
                f"{where}: search.trials: is missing; {'tpe' if self.sampler == 'tpe' else 'a range'} requires it, "
                "accepted: a number of candidates"
            )


class ExperimentSpace(Settings):
    """One task with one network: its search, seeds and changes to the network."""

    task: str
    network: str
    metric: str | None = None
    """Validation metric that selects the candidate; the task's own by default."""
    candidate_of: str | None = None
    """Another task of this space, on which the same network is searched: its selected candidate is used here, without
    a search."""
    mode: Mode = "max"
    """Whether larger or smaller values of the metric are better; derived from the metric by default."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    search: SearchSettings = SearchSettings()
    """Search for a candidate; by default none, and the network is repeated as it is."""
    set: Annotated[dict[str, Scalar | tuple[Scalar, ...] | None], BeforeValidator(_with_nulls)] = Field(
        default_factory=dict
    )
    """Changes to the network's keys, for every candidate."""

    @property
    def searches(self) -> bool:
        """Whether a candidate has to be selected by training; a single one is known without."""
        return self.candidate_of is None and (self.search.sampler == "tpe" or self.search.num_candidates > 1)

    @property
    def num_candidate_runs(self) -> int:
        """Largest number of runs of the search."""
        return self.search.num_candidates * (len(self.seeds) if self.search.over_seeds else 1) if self.searches else 0


class SweepSpace(Settings):
    """A tune space file: any number of experiments that run as one sweep."""

    name: Name
    """Name of the sweep; the file's by default."""
    volume: str | None = None
    """Address that replaces the tasks' own volume: "phantom", or a base such as zarr:///data/copy."""
    preset: str | None = None
    """Scale of tasks, training and search: "smoke" or "paper"; --preset has precedence."""
    experiments: Annotated[tuple[ExperimentSpace, ...], Field(min_length=1)]
    """Tables of task, network, metric, mode, seeds, search and set; a single one may stand at the top of the file."""
    run: ResourceSettings = ResourceSettings()

    def check(self, where: str) -> None:
        """Check resources, axes and seeds of every experiment, and that no experiment stands twice."""
        self.run.check(where)
        seen: set[tuple[str, str]] = set()
        for number, experiment in enumerate(self.experiments):
            experiment.search.check(f"{where}: experiments.{number}")
            if len(set(experiment.seeds)) < len(experiment.seeds):
                raise InputError(f"{where}: experiments.{number}.seeds: a seed stands twice; accepted: distinct seeds")
            pair = (experiment.task, experiment.network)
            if pair in seen:
                raise InputError(
                    f"{where}: experiments.{number}: {pair[0]} with {pair[1]} stands twice; accepted: once"
                )
            seen.add(pair)


# Keys at the top of a file hold for all of its experiments. An experiment's own keys have precedence, and its `set` is
# added to that of the top.
_SHARED = ("task", "network", "metric", "mode", "seeds", "search", "set", "candidate_of")
_OWN = ("name", "volume", "preset", "run")


def load_space(path: Path) -> SweepSpace:
    """Read a tune space: one experiment at the top of the file, several under `[[experiments]]`, or `include`d files.

    Raises:
        InputError: one line that names the file, the key, what is wrong and what is accepted.
    """
    return SweepSpace.load(_expanded(path, ()), str(path))


def _expanded(path: Path, including: tuple[Path, ...]) -> dict[str, Any]:
    values = read_toml(path)
    if path.resolve() in including:
        raise InputError(f"{path}: include: includes itself; accepted: other files")
    shared = _located({key: values.pop(key) for key in _SHARED if key in values}, path.parent)
    own = values.pop("experiments", None)
    if own is not None and not (isinstance(own, list) and all(isinstance(experiment, dict) for experiment in own)):
        raise InputError(f"{path}: experiments: is {shortened(own)}; accepted: tables, each under [[experiments]]")
    included = values.pop("include", [])
    if not isinstance(included, list) or not all(isinstance(name, str) for name in included):
        raise InputError(f"{path}: include: is {shortened(included)}; accepted: paths relative to this file, as a list")
    experiments: list[Any] = []
    for name in included:
        inner = _expanded(path.parent / name, (*including, path.resolve()))
        _check_included(path, name, values, inner)
        experiments.extend(_combined(experiment, shared) for experiment in inner["experiments"])
    if own is not None:
        experiments.extend(_combined(shared, _located(experiment, path.parent)) for experiment in own)
    elif not included:
        experiments.append(shared)
    for key in values:
        if key not in _OWN:
            accepted = ", ".join(sorted((*_OWN, *_SHARED, "experiments", "include")))
            raise InputError(f"{path}: {key}: unknown key; accepted: {accepted}")
    if isinstance(run := values.get("run"), dict) and isinstance(table := run.get("packing"), str):
        values["run"] = {**run, "packing": table if "://" in table else str(path.parent / table)}
    values.setdefault("name", path.stem)
    values["experiments"] = experiments
    return values


def _combined(weaker: dict[str, Any], stronger: dict[str, Any]) -> dict[str, Any]:
    """Keys of both experiments, `stronger` first; the tables `set` are merged."""
    combined = {**weaker, **stronger}
    below, above = weaker.get("set"), stronger.get("set")
    if isinstance(below, dict) and isinstance(above, dict):
        kept = {key: value for key, value in below.items() if not any(_is_same(key, other) for other in above)}
        combined["set"] = {**kept, **above}
    return combined


def _is_same(key: str, other: str) -> bool:
    """Whether two names may be of one key: they are equal, or one is the last part of the other."""
    return key == other or key.rpartition(".")[2] == other or key == other.rpartition(".")[2]


def _located(experiment: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The experiment with `set` flattened and file names resolved against the folder of its file."""
    if isinstance(experiment.get("set"), dict):
        experiment = {**experiment, "set": flattened(experiment["set"])}
    paths = {
        key: str(folder / experiment[key])
        for key in ("task", "network")
        if isinstance(experiment.get(key), str) and experiment[key].endswith(".json")
    }
    return {**experiment, **paths}


def _check_included(path: Path, name: str, outer: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
    # Only experiments are taken from an included file: its other keys that decide numbers must be repeated.
    for key in ("volume", "preset"):
        if key in inner and inner[key] != outer.get(key):
            raise InputError(
                f"{path}: {key}: is {shortened(outer.get(key))}, the included {name} has {shortened(inner[key])}; "
                "accepted: the same in both"
            )
