"""`mtneuro-ray profile`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from mtneuro_ray.capacity import costs
from mtneuro_ray.capacity.costs import Cost, CostTable, Workload
from mtneuro_ray.config.loading import Pair, load_sweep
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ExperimentSpace
from mtneuro_ray.errors import InputError, MTNeuroError

_ABOUT = "Measured by `mtneuro-ray profile` on random data; docs/packing.md says what the keys mean."


def run(options: argparse.Namespace) -> int:
    """Measure every workload of a tune space, and write each into the table as soon as it is known."""
    space, entries = load_sweep(
        options.space, volume=options.volume, preset=options.preset, overrides=options.overrides
    )
    on_gpu = (space.run.gpus_per_worker > 0) if options.device is None else options.device == "cuda"
    if space.run.workers_per_trial > 1:
        raise InputError(f"{options.space}: run.workers_per_trial: only trials of one worker are measured; accepted: 1")
    if options.steps < 1:
        raise InputError(f"--steps: is {options.steps}; accepted: 1 or more")
    table = costs.read_table(options.out) if costs.exists(options.out) else CostTable()

    from mtneuro_ray.capacity.profile import profile
    from mtneuro_ray.engine.local import check_gpu
    from mtneuro_ray.progress import say

    if on_gpu:
        check_gpu(f"{options.space}: run.gpus_per_worker, or --device cuda")
    every = costs.workloads(runs_of(entries), on_gpu=on_gpu)
    failed = 0
    for number, workload in enumerate(every, 1):
        try:
            cost = profile(workload, on_gpu=on_gpu, threads=space.run.cpus_per_worker, steps=options.steps)
        except MTNeuroError as error:
            failed += 1
            say(f"[{number}/{len(every)}] failed: {error}")
            continue
        say(f"[{number}/{len(every)}] {_told(workload, cost)}")
        table = table.add(workload, cost).model_copy(update={"about": _ABOUT})
        costs.write_table(options.out, table)
    print(f"{len(every) - failed} of {len(every)} workloads measured: {options.out}")
    return 1 if failed else 0


def runs_of(entries: Iterable[tuple[ExperimentSpace, Pair]]) -> Iterator[RunSettings]:
    """Runs that have every workload of a sweep, on data without identities: no volume is opened for them."""
    for experiment, pair in entries:
        for candidate in experiment.search.checked_candidates:
            network = pair.network.replace(str(pair.network_file), **candidate)
            task = pair.task if pair.encoder is None else pair.encoder.task
            yield RunSettings(task=task, network=network, role="final", data=())


def _told(workload: Workload, cost: Cost) -> str:
    if not cost.fits:
        return f"{workload.key}: does not fit into {cost.device_bytes / 1e9:.1f} GB"
    memory = f"{(cost.base_bytes + cost.peak_bytes) / 1e6:.0f} MB ({cost.peak_bytes / 1e6:.0f} of training)"
    taken = f"{cost.fit_s:.3g} s a fit" if cost.step_s is None else f"{cost.step_s:.3g} s a step"
    return f"{workload.key}: {memory}, {taken}, {cost.image_s:.3g} s an image evaluated"
