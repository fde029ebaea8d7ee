"""Predictions of whole volumes: `mtneuro_ray.predict_volume`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtneuro_ray.api.task_data import Address, folder_of
from mtneuro_ray.results.query import Results
from mtneuro_ray.results.selection import best_final, final_named, is_final_training, seeds_of
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.volumes.paths import address_of
from mtneuro_ray.volumes.source import VolumeSource, open_volume

if TYPE_CHECKING:
    from mtneuro_ray.engine.volume_job import PredictionOptions

# Pixels that one process predicts in about the time that Ray takes to start.
_SMALL = 2**22


def predict_volume(
    volume: str | Sequence[str],
    to: str,
    *,
    run: str | None = None,
    model: str | None = None,
    task: str | None = None,
    seeds: bool = False,
    box: Roi | None = None,
    options: PredictionOptions | None = None,
    out: Address = "out",
    workers: int | None = None,
    address: str | None = None,
    num_cpus: int | None = None,
) -> int:
    """Predict the class of every voxel of a volume, of any size.

    What was written stays after a failure; the same call goes on from there.

    Args:
        volume: Address of the image, or one address for each of its channels.
        to: `zarr://FOLDER`, `precomputed://FOLDER`, or either with an `s3://` or `gs://` address.
        run: Id of a finished final run; by default that of the best candidate.
        model: Only runs of this model.
        task: Only runs that were trained on this task.
        seeds: Whether the mean of all seeds of the run is predicted, with their disagreement in TO/uncertainty.
        box: Box of voxels; the whole volume by default.
        options: How it is predicted (`mtneuro_ray.engine.volume_job.PredictionOptions`).
        out: Folder of the runs.
        workers: Processes on Ray; 0 computes in this process, without Ray. By default a small volume is computed in
            this process, others in as many as the cluster has room for.
        address: Ray cluster; one that is started here by default.
        num_cpus: CPUs of a cluster that is started here; all by default.

    Returns:
        The number of blocks computed; 0 where the target was complete already.

    Raises:
        InputError: runs, volume, target and options do not fit together.
        SourceError: the volume can't be read.
        StoreError: the target can't be written.
    """
    records = chosen_records(Results(folder_of(out)).where(model, task), run, seeds=seeds)

    from mtneuro_ray.data.volume_target import parse_target
    from mtneuro_ray.engine.volume_job import PredictionOptions, plan_job
    from mtneuro_ray.engine.whole_volume import predict_volume as predict

    target = parse_target(to)
    channels = open_channels([volume] if isinstance(volume, str) else volume)
    job = plan_job(records, folder_of(out), channels, target, box, options or PredictionOptions())
    if workers == 0 or (workers is None and address is None and math.prod(job.grid.extent) <= _SMALL):
        return predict(job)

    from mtneuro_ray.cluster.connect import connected
    from mtneuro_ray.cluster.inference import on_ray

    execute = on_ray(job, workers or 0)
    with connected(address, num_cpus, execute.needs):
        return predict(job, execute)


def chosen_records(results: Results, run: str | None, *, seeds: bool) -> list[RunRecord]:
    """The runs to predict with: one, or all seeds of its experiment.

    Raises:
        InputError: there is no such run.
    """
    records = results.records
    if run is None:
        record = best_final(results.best(), records)
    else:
        record = final_named(run, filter(is_final_training, records), f"run of {results.out} with weights of its own")
    return seeds_of(record, records) if seeds else [record]


def open_channels(uris: Sequence[str]) -> list[VolumeSource]:
    """The channels of an image: each address is one, or all the channels of a volume with several."""
    volumes = [open_volume(address_of(uri)) for uri in uris]
    return [volume.channel(number) for volume in volumes for number in range(volume.num_channels)]
