"""`mtneuro-ray profile`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import typer

from mtneuro_ray.capacity import costs
from mtneuro_ray.capacity.costs import Cost, CostTable, Workload
from mtneuro_ray.cli.options import Overrides, Preset, Space, Volume, written
from mtneuro_ray.config.pairs import Pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ExperimentSpace
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.errors import InputError, MTNeuroError

_ABOUT = "Measured by `mtneuro-ray profile` on random data; docs/packing.md says what the keys mean."


def run_profile(
    space: Space,
    out: Annotated[
        str,
        typer.Option(
            metavar="TABLE.json",
            callback=written,
            help="table that is written, or in which what is measured again is replaced",
        ),
    ],
    volume: Volume = None,
    preset: Preset = None,
    overrides: Overrides = [],
    device: Annotated[
        Literal["cpu", "cuda"] | None, typer.Option(help="default: cuda where the space gives GPUs to its trials")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="steps that are timed, at least")] = 5,
) -> int:
    """Measure every workload of a tune space, and write each into the table as soon as it is measured."""
    sweep, entries = load_sweep(space, volume=volume, preset=preset, overrides=overrides)
    on_gpu = (sweep.run.gpus_per_worker > 0) if device is None else device == "cuda"
    if sweep.run.workers_per_trial > 1:
        raise InputError(f"{space}: run.workers_per_trial: only trials of one worker are measured; accepted: 1")
    table = costs.read_table(out, default=CostTable())

    from mtneuro_ray.capacity.profile import profile
    from mtneuro_ray.engine.device import check_gpu
    from mtneuro_ray.progress import say

    if on_gpu:
        check_gpu(f"{space}: run.gpus_per_worker, or --device cuda")
    every = costs.workloads(runs_of(entries), on_gpu=on_gpu)
    failed = 0
    for number, workload in enumerate(every, 1):
        try:
            cost = profile(workload, on_gpu=on_gpu, threads=sweep.run.cpus_per_worker, steps=steps)
        except MTNeuroError as error:
            failed += 1
            say(f"[{number}/{len(every)}] failed: {error}")
            continue
        say(f"[{number}/{len(every)}] {_told(workload, cost)}")
        table = table.add(workload, cost).model_copy(update={"about": _ABOUT})
        costs.write_table(out, table)
    print(f"{len(every) - failed} of {len(every)} workloads measured: {out}")
    return 1 if failed else 0


def runs_of(entries: Iterable[tuple[ExperimentSpace, Pair]]) -> Iterator[RunSettings]:
    """Runs with all workloads of a sweep. Their data have no identities, so that no volume is opened."""
    for experiment, pair in entries:
        for candidate in experiment.search.checked_candidates:
            network = pair.network.replace(str(pair.network_file), **candidate)
            yield RunSettings(task=pair.trained_task, network=network, role="final", data=())


def _told(workload: Workload, cost: Cost) -> str:
    if not cost.fits:
        return f"{workload.key}: does not fit into {cost.device_bytes / 1e9:.1f} GB"
    memory = f"{(cost.base_bytes + cost.peak_bytes) / 1e6:.0f} MB ({cost.peak_bytes / 1e6:.0f} of training)"
    taken = f"{cost.fit_s:.3g} s a fit" if cost.step_s is None else f"{cost.step_s:.3g} s a step"
    return f"{workload.key}: {memory}, {taken}, {cost.image_s:.3g} s an image evaluated"
