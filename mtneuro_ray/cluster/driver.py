"""A sweep from its space to its run files: what is missing of it is run, on Ray."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from mtneuro_ray.capacity.costs import CostTable, read_table
from mtneuro_ray.config.pairs import Pair
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.space import ExperimentSpace
from mtneuro_ray.data.ingest import identities_of
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.models.library import check_encoders
from mtneuro_ray.progress import say
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord, has_weights
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from mtneuro_ray.sweep.outline import write_outline
from mtneuro_ray.sweep.sweep import Sweep, is_result
from mtneuro_ray.trackers.push import Tracking


@dataclass(frozen=True, slots=True)
class Where:
    """Where a sweep runs and what it leaves.

    Attributes:
        store: Cutouts.
        out: Run files.
        address: Address of a Ray cluster; see `cluster.connect.connected`.
        num_cpus: CPUs of a cluster started here.
    """

    store: CutoutStore
    out: Folder
    address: str | None = None
    num_cpus: int | None = None


def sweep(entries: Iterable[tuple[ExperimentSpace, Pair]], resources: ResourceSettings, where: Where) -> list[str]:
    """Run what is missing of a sweep. A sweep that is done reads no voxel and joins no cluster.

    Returns:
        What went wrong, a line per run or experiment; empty where every run is done.

    Raises:
        InputError: the data do not fit the settings, the table of `packing` can't be read, or another sweep is at work
            in the output folder.
        SourceError: a volume can't be read; runs on other data that had begun have come to their end.
        MTNeuroError: another sweep has taken over the output folder, or the cluster can't be joined.
    """
    table = None if resources.packing is None else read_table(resources.packing)
    voxel_bytes: dict[str, int] = {}
    experiments = Experiment.of_entries(entries, partial(identities_of, voxel_bytes=voxel_bytes))
    stops = resources.scheduler == "asha"
    records = [record for record in RunFolder(where.out).all() if is_result(record, stops=stops)]
    pipeline = Sweep(experiments, records, lambda run: has_weights(where.out, run))
    say(_progress(pipeline))
    with Tracking(resources.trackers, where.out) as tracking:
        known = {planned.run_id for planned in pipeline.known}
        for record in records:
            # The pipeline's own records are without their settings.
            if record.run_id in known:
                tracking.add(record)
        if pipeline.open:
            check_encoders((each.run.network, str(each.pair.network_file)) for each in pipeline.open)
            _run(pipeline, resources, (table, voxel_bytes), where, tracking)
    return pipeline.problems()


def _progress(pipeline: Sweep) -> str:
    parts = [
        f"{stage} {total.done + total.failed}/{total.expected}"
        for stage, total in pipeline.totals().items()
        if total.expected
    ]
    return f"runs that are done: {', '.join(parts)}"


def _run(
    pipeline: Sweep,
    resources: ResourceSettings,
    costs: tuple[CostTable | None, dict[str, int]],
    where: Where,
    tracking: Tracking,
) -> None:
    from mtneuro_ray.cluster.connect import connected
    from mtneuro_ray.cluster.shared import Shared
    from mtneuro_ray.storage.lease import only_driver
    from mtneuro_ray.sweep.study import StudyLog

    shared = Shared(where.store, resources.budget_bytes)

    def read() -> None:
        for planned in pipeline.ready():
            shared.want(planned)

    with (
        only_driver(where.out),
        connected(where.address, where.num_cpus, resources.of_a_trial, read),
        StudyLog(where.out, pipeline.experiments) as study,
    ):
        write_outline(where.out, pipeline.experiments)
        # While the first data are read.
        from mtneuro_ray.cluster.dispatch import Dispatch
        from mtneuro_ray.cluster.packing import Packing
        from mtneuro_ray.cluster.ray_tune import run_all

        for planned in pipeline.known:
            if planned.run_id in pipeline.records:
                study.add(planned, pipeline.records[planned.run_id])

        def ended(planned: PlannedRun, record: RunRecord) -> None:
            study.add(planned, record)
            tracking.add(record)

        dispatch = Dispatch(pipeline, shared, where.out, resources, Packing(resources, *costs), ended)
        run_all(pipeline, dispatch, where.out, resources)
        if shared.error is not None:
            raise shared.error
