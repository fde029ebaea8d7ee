"""A tune space to run."""

from __future__ import annotations

from collections.abc import Sequence

from mtneuro_ray.api.task_data import Address, folder_of
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.ingest import identities_of
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results.query import Results
from mtneuro_ray.sweep.experiment import Experiment


class SweepJob:
    """A tune space to run: searches, then repeats over seeds, on Ray. `mtneuro_ray.Sweep` is this class.

    Args:
        space: Packaged name (`mtneuro-ray list spaces`) or path of a TOML.
        volume: See `load_task`.
        preset: See `load_task`.
        overrides: `key=value` changes of every network.
        packing: Table of `mtneuro-ray profile`; the space's by default.
        out: Folder of results, here or in a bucket.
        store: Folder of cutouts; `out/store` by default.
        address: Ray cluster; one that is started here by default.
        num_cpus: CPUs of a cluster that is started here; all by default.

    Raises:
        InputError: one line that names the file and the key.

    Example:
        >>> sweep = mtneuro_ray.Sweep("smoke", out=out)
        >>> [(experiment.name, len(experiment.space.search.candidates)) for experiment in sweep.experiments]
        [('UNet_2D/task2_2D_4class', 4)]

        `sweep.run()` trains what is missing and returns the `Results`.
    """

    def __init__(
        self,
        space: str,
        *,
        volume: str | None = None,
        preset: str | None = None,
        overrides: Sequence[str] = (),
        packing: str | None = None,
        out: Address = "out",
        store: Address | None = None,
        address: str | None = None,
        num_cpus: int | None = None,
    ) -> None:
        self.settings, self.entries = load_sweep(space, volume=volume, preset=preset, overrides=overrides)
        run = self.settings.run
        self.resources = run if packing is None else run.replace("packing", packing=packing)
        self.out = folder_of(out)
        self.store = CutoutStore(self.out / "store" if store is None else folder_of(store))
        self.problems: list[str] = []
        self._address, self._num_cpus = address, num_cpus

    @property
    def experiments(self) -> list[Experiment]:
        """The experiments; the volumes are opened, for their identities."""
        return Experiment.of_entries(self.entries, identities_of)

    def run(self) -> Results:
        """Run what is missing; `problems` then says what went wrong, a line per run or experiment.

        Raises:
            InputError: the data do not fit the settings, or another sweep is at work in the output folder.
            SourceError: a volume can't be read.
        """
        from mtneuro_ray.cluster.sweep import Where, sweep

        where = Where(self.store, self.out, self._address, self._num_cpus)
        self.problems = sweep(self.entries, self.resources, where)
        return Results(self.out)
