"""What the full benchmark would take on 1 to 64 GPU nodes, what it would wait for, and what settings change.

Runs, epochs, images and cutouts come from the tune spaces, with the package's own code. The costs of driver and GCS are
those that `benchmarks.control_cost` has measured; steps are those of the benchmarks' README on one CPU thread, made
faster by an assumed factor. Every assumption is an option. `benchmarks.cluster_simulation` says what is modelled.

    python -m benchmarks.cluster_model [--nodes 1 2 8 16 32 64] [--gpu-factor F] [--boot S] [--boss-requests R] ...
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.cluster_simulation import Cluster, Costs, Outcome, Reading, Release, Trial, Work, simulate
from mtneuro_ray.capacity.estimate import Load, play, pretended
from mtneuro_ray.cluster.ray_data import rows_per_block
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.config.task import SPLITS, Split, TaskSettings
from mtneuro_ray.data.sampling import channel_boxes, missing, samples
from mtneuro_ray.roi import Roi
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from mtneuro_ray.sweep.sweep import STAGES, Stage, Sweep
from mtneuro_ray.volumes.bossdb import BossSource

SPACES = (Path("tune_spaces/task2/all.toml"), Path("tune_spaces/task1/all.toml"))

# Images (2D) or sub-volumes of 8 slices (3D) a second, trained on one CPU thread (benchmarks/README.md).
_SEGMENTATION_SIDE = 128
_SEGMENTATION = {
    **{"UNet_2D": 4.29, "MAnet": 1.57, "FPN": 1.79, "UnetPlusPlus": 1.27, "PAN": 1.08, "PSPNet": 4.57},
    **{"UNet_3D": 0.289, "VNetLight": 0.35, "HighResNet": 0.0568},
}
# Downsampling -> the same for Task 1, in images of 256 px. MYOW-m at 2 and the fits at 2 were not measured: MYOW's
# rate, and the geometric mean of those at 4 and 1.
_CLASSIFICATION = {
    4: {"supervised": 4.71, "mixup": 4.59, "byol": 7.30, "myow": 6.09, "myowmerged": 7.28, "PCA": 343.0, "NMF": 34.6},
    2: {"supervised": 0.943, "mixup": 0.926, "byol": 1.74, "myow": 1.66, "myowmerged": 1.66, "PCA": 204.0, "NMF": 12.8},
    1: {
        "supervised": 0.176,
        "mixup": 0.174,
        "byol": 0.375,
        "myow": 0.395,
        "myowmerged": 0.37,
        "PCA": 122.0,
        "NMF": 4.71,
    },
}
# A forward pass is this share of a step (26 to 46 %, benchmarks/README.md).
_FORWARD = 1 / 3
# The fits of PCA and NMF are scikit-learn's, on the CPU.
_ON_CPU = ("PCA", "NMF")
# Of benchmarks.control_cost, seconds of a processor. To store is measured by bytes asked for, of which a voxel of
# labels has eight; here it is by bytes on the wire, of which it has one.
MEASURED = Costs(
    driver_trial_s=0.0185, driver_report_s=0.0026, gcs_trial_s=0.008, gcs_actor_s=0.031, store_s_per_byte=8 * 5.3e-9
)


@dataclass(frozen=True, slots=True)
class Assumed:
    """What was not measured.

    Attributes:
        gpu_factor: A GPU beside one CPU thread.
        actor_start_s: Import of torch and of this package, CUDA, on a fresh node.
        packing: What several trials on a GPU get done in the time of one.
        wire_bytes: Of a voxel, compressed, on its way from BossDB.
    """

    gpu_factor: float = 200.0
    actor_start_s: float = 20.0
    packing: float = 1.5
    wire_bytes: float = 1.0


def rate(run: RunSettings, assumed: Assumed) -> float:
    """Images or sub-volumes a second that a run trains on one GPU alone; PCA and NMF fit, a random encoder reads."""
    network, task = run.network, run.task
    if task.task == "segmentation":
        side = math.sqrt(math.prod(task.tile_size))
        return _SEGMENTATION[network.table_name] * (_SEGMENTATION_SIDE / side) ** 2 * assumed.gpu_factor
    method: str = network.model.name if network.method.name == "decomposition" else network.method.name
    if getattr(network.method, "mixup_probability", 0.0):
        method = "mixup"
    if method == "random":
        return _CLASSIFICATION[task.downsample]["supervised"] / _FORWARD * assumed.gpu_factor
    return _CLASSIFICATION[task.downsample][method] * (1.0 if method in _ON_CPU else assumed.gpu_factor)


@dataclass(frozen=True, slots=True)
class Job:
    """A run, with the images of its task's splits, and whether it trains or only evaluates."""

    run: RunSettings
    images: dict[Split, int]
    trains: bool

    def seconds(self, assumed: Assumed) -> float:
        """On a GPU of its own: its epochs with their validation, and the test where there is one."""
        run, counts = self.run, self.images
        # A frozen encoder is validated once, after its training.
        validations = self.epochs if run.network.method.name == "supervised" else 1
        train = self.epochs * counts["train"] + validations * _FORWARD * counts["val"] if self.trains else 0.0
        test = _FORWARD * counts["test"] if run.role == "final" else 0.0
        return (train + test) / rate(run, assumed)

    @property
    def epochs(self) -> int:
        """Of its training; a fit, and a pass over the images for their features, is one."""
        network = self.run.network
        return int(network.training.epochs) if network.method_declaration.by_steps else 1


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A sweep over tune spaces.

    Attributes:
        experiments: Its experiments. Nobody knows which candidates will be the best: the slowest are taken.
        jobs: Stage -> its runs.
        readings: Voxels of the cutouts that the ingest of each task reads, less what an earlier one has read.
        split_bytes: Task -> bytes of the images and masks of all of its splits.
        images: Task -> split -> number of images.
    """

    experiments: list[Experiment]
    jobs: dict[Stage, list[Job]]
    readings: list[list[int]]
    split_bytes: dict[str, int]
    images: dict[str, dict[Split, int]]

    @classmethod
    def of(cls, spaces: Iterable[Path]) -> Benchmark:
        """One sweep over all of these spaces."""
        entries = [entry for space in spaces for entry in load_sweep(str(space))[1]]
        experiments = Experiment.of_entries(entries)
        pairs = [pair for _, pair in entries] + [pair.encoder for _, pair in entries if pair.encoder is not None]
        tasks = {pair.task.name: pair.task for pair in pairs}
        images = {name: {split: len(samples(task, split)) for split in SPLITS} for name, task in tasks.items()}
        jobs: dict[Stage, list[Job]] = {stage: [] for stage in STAGES}

        def load_of(planned: PlannedRun, stage: Stage) -> Load:
            job = Job(planned.run, images[planned.run.task.name], stage != "evaluate")
            jobs[stage].append(job)
            return Load(job.seconds(Assumed()))

        play(Sweep(experiments), load_of, 1)
        sizes = {name: _image_bytes(task) * sum(images[name].values()) for name, task in tasks.items()}
        return cls(experiments, jobs, list(_readings(tasks.values())), sizes, images)

    def work(
        self,
        assumed: Assumed,
        *,
        cpus: int = 1,
        per_gpu: int = 1,
        in_order: bool = True,
        reports: bool = False,
    ) -> Work:
        """The sweep as the simulation takes it, once.

        Args:
            assumed: What was not measured.
            cpus: CPUs that the cluster has when an ingest begins.
            per_gpu: Trials that share a GPU.
            in_order: Whether of trials that become ready together the longest come first.
            reports: Whether candidates tell the driver of each epoch, as with ASHA; none is stopped here.
        """
        slower = per_gpu / assumed.packing if per_gpu > 1 else 1.0
        readings = []
        for voxels in self.readings:
            sizes = [round(count * assumed.wire_bytes) for count in voxels]
            rows = rows_per_block(len(sizes), BossSource.parallel_reads, cpus)
            readings.append(Reading(tuple(tuple(sizes[at : at + rows]) for at in range(0, len(sizes), rows))))
        return Work(readings, self._release(assumed, slower, in_order, reports), self.split_bytes)

    def _release(self, assumed: Assumed, slower: float, in_order: bool, reports: bool) -> Release:
        sweep, runs = Sweep([]), dict[str, PlannedRun]()

        def trial_of(planned: PlannedRun) -> Trial:
            job = Job(planned.run, self.images[planned.run.task.name], sweep.stage(planned) != "evaluate")
            told = job.epochs if reports and planned.run.role == "candidate" else 0
            return Trial(slower * job.seconds(assumed), planned.run.task.name, told, planned.run_id)

        def release(ended: Trial | None) -> list[Trial]:
            nonlocal sweep
            if ended is None:
                sweep = Sweep(self.experiments)
                ready = sweep.ready()
            else:
                ready = sweep.end(pretended(runs[ended.run_id], ended.seconds))
            runs.update((planned.run_id, planned) for planned in ready)
            if not in_order:
                return [trial_of(planned) for planned in ready]
            # At least one training follows each search.
            follows = {planned.run_id: 2 if planned.run.role == "candidate" else 1 for planned in ready}
            trials = [trial_of(planned) for planned in ready]
            return sorted(trials, key=lambda trial: -trial.seconds * follows[trial.run_id])

        return release


def _readings(tasks: Iterable[TaskSettings]) -> Iterator[list[int]]:
    present: dict[str, list[Roi]] = {}
    for task in tasks:
        cutouts: list[int] = []
        channels = task.addresses
        for channel, needed in zip(channels, channel_boxes(task), strict=False):
            have = present.setdefault(channel, [])
            new = missing(needed, have)
            have.extend(new)
            cutouts.extend(roi.num_voxels for roi in new)
        if cutouts:
            yield cutouts


def _image_bytes(task: TaskSettings) -> int:
    """Of one image, and its mask where there are masks."""
    masks = 2 if task.task == "segmentation" else 1
    return masks * math.prod(task.tile_size) // task.downsample**2 * task.volume_z


def bounds(cluster: Cluster, outcome: Outcome) -> dict[str, float]:
    """Seconds that the sweep can't be shorter than, by what it would wait for."""
    places = cluster.nodes * cluster.trials_per_node
    return {
        "GPUs": outcome.slot_s / min(places, cluster.max_concurrent),
        **outcome.busy_s,
    }


def _line(candidates: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, candidates))} |"


def _minutes(value: float) -> str:
    return f"{value / 60:.1f}"


def _by_nodes(work: Work, clusters: Sequence[Cluster], costs: Costs) -> list[str]:
    parts = ("driver", "GCS", "transfer", "BossDB requests", "BossDB bytes")
    heads = ["nodes", "ingest", "trials", "all, min", "speed-up", "node hours", "GPUs busy"]
    lines = [_line([*heads, *parts, "at least, by"]), _line(["---"] * (len(heads) + len(parts) + 1))]
    outcomes = [simulate(work, cluster, costs) for cluster in clusters]
    for cluster, outcome in zip(clusters, outcomes, strict=True):
        least = bounds(cluster, outcome)
        binding = max(least, key=lambda name: least[name])
        lines.append(
            _line(
                [
                    cluster.nodes,
                    *map(_minutes, [outcome.ingest_s, outcome.trials_s, outcome.total_s]),
                    f"{outcomes[0].total_s / outcome.total_s:.1f}",
                    f"{outcome.node_s / 3600:.1f}",
                    f"{outcome.slot_s / cluster.trials_per_node / outcome.node_s:.0%}",
                    *(f"{outcome.busy_s[part] / outcome.total_s:.2%}" for part in parts),
                    f"{binding}: {_minutes(least[binding])}",
                ]
            )
        )
    return lines


def _settings(benchmark: Benchmark, assumed: Assumed, cluster: Cluster, costs: Costs) -> list[str]:
    """The largest cluster with one thing changed at a time."""
    plain = benchmark.work(assumed)
    listed = benchmark.work(assumed, in_order=False)
    packed = benchmark.work(assumed, per_gpu=4)
    four = replace(cluster, trials_per_node=4)
    up = replace(cluster, up=cluster.nodes)
    wide = benchmark.work(assumed, cpus=cluster.nodes * cluster.cpus_per_node)
    slow = replace(
        costs,
        driver_trial_s=10 * costs.driver_trial_s,
        gcs_trial_s=10 * costs.gcs_trial_s,
        gcs_actor_s=10 * costs.gcs_actor_s,
    )
    refusing = replace(costs, boss_refuses=True)
    rows: list[tuple[str, Work, Cluster, Costs]] = [
        ("as above", plain, cluster, costs),
        ("trials as they are listed, not longest first", listed, cluster, costs),
        ("all nodes asked for at the submit", plain, replace(cluster, ahead=True), costs),
        ("upscaling_speed 1", plain, replace(cluster, upscaling_speed=1.0), costs),
        ("upscaling_speed 100", plain, replace(cluster, upscaling_speed=100.0), costs),
        (
            "upscaling_speed 100, 64 launches at once",
            plain,
            replace(cluster, upscaling_speed=100, most_launches=64),
            costs,
        ),
        ("boot of 3 minutes", plain, replace(cluster, boot_s=180), costs),
        ("boot of 15 minutes", plain, replace(cluster, boot_s=900), costs),
        ("all nodes up before the submit", plain, up, costs),
        ("idle nodes kept", plain, replace(cluster, idle_s=math.inf), costs),
        ("idle time-out of 1 minute", plain, replace(cluster, idle_s=60), costs),
        ("max_concurrent 32", plain, replace(cluster, max_concurrent=32), costs),
        ("4 trials a GPU, max_concurrent 128", packed, four, costs),
        ("4 trials a GPU, max_concurrent 256", packed, replace(four, max_concurrent=256), costs),
        ("4 trials a GPU, max_concurrent 512", packed, replace(four, max_concurrent=512), costs),
        ("candidates report each epoch (ASHA)", benchmark.work(assumed, reports=True), cluster, costs),
        ("BossDB: 1 request a second", plain, cluster, replace(costs, boss_requests_s=1.0)),
        ("BossDB: 10 MB a second", plain, cluster, replace(costs, boss_bytes_s=1e7)),
        ("all nodes up, ingest in blocks for all CPUs", wide, up, costs),
        ("the same, BossDB refuses what is too much", wide, up, refusing),
        ("the same, 10 attempts in place of 6", wide, replace(up, attempts=10), refusing),
        ("first line, BossDB refuses what is too much", plain, cluster, refusing),
        ("GPU factor 50", benchmark.work(replace(assumed, gpu_factor=50)), cluster, costs),
        ("GPU factor 1000", benchmark.work(replace(assumed, gpu_factor=1000)), cluster, costs),
        ("driver and GCS ten times as slow", plain, cluster, slow),
    ]
    lines = [
        _line([f"{cluster.nodes} nodes", "ingest, min", "all, min", "node hours", "requests lost"]),
        _line(["---"] * 5),
    ]
    for label, work, changed, these in rows:
        outcome = simulate(work, changed, these)
        hours = f"{outcome.node_s / 3600:.1f}"
        lines.append(_line([label, _minutes(outcome.ingest_s), _minutes(outcome.total_s), hours, outcome.lost]))
    return lines


def _about(benchmark: Benchmark, work: Work, costs: Costs, places: int) -> list[str]:
    sizes = [size for reading in work.readings for block in reading.blocks for size in block]
    lines = []
    for stage, jobs in benchmark.jobs.items():
        each = sorted(job.seconds(Assumed()) for job in jobs)
        hours = sum(each) / 3600
        lines.append(f"{stage}: {len(each)} runs, {hours:.1f} GPU hours, {each[0]:.0f} to {each[-1]:.0f} s")
    lines.append(f"ingest: {len(sizes)} cutouts, {sum(sizes) / 1e9:.2f} GB on the wire")
    lines.append(
        f"splits of all tasks: {sum(work.split_bytes.values()) / 1e9:.2f} GB, "
        f"of the largest {max(work.split_bytes.values()) / 1e6:.0f} MB"
    )
    lines.append(
        f"the driver keeps {places} places busy while a trial takes longer than {places * costs.driver_trial_s:.1f} s, "
        f"and, with ASHA, an epoch longer than {places * costs.driver_report_s:.2f} s"
    )
    return lines


def main() -> None:
    """Print the work, a table over nodes, and one over settings."""
    usual = Assumed()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 8, 16, 32, 64])
    parser.add_argument("--spaces", type=Path, nargs="+", default=SPACES)
    parser.add_argument("--gpu-factor", type=float, default=usual.gpu_factor)
    parser.add_argument("--packing", type=float, default=usual.packing)
    parser.add_argument(
        "--boot", type=float, default=480.0, help="seconds from the request of a node to its first task"
    )
    parser.add_argument("--idle", type=float, default=300.0, help="seconds after which an idle node is given back")
    parser.add_argument("--cpus", type=int, default=4, help="of a node")
    parser.add_argument("--bandwidth", type=float, default=1.25e8, help="bytes a second that the head sends")
    parser.add_argument("--boss-requests", type=float, default=10.0, help="that BossDB takes a second")
    parser.add_argument("--boss-bytes", type=float, default=1e8, help="that BossDB sends a second")
    parser.add_argument("--boss-latency", type=float, default=1.0, help="seconds until an answer of BossDB begins")
    options = parser.parse_args()
    assumed = Assumed(gpu_factor=options.gpu_factor, packing=options.packing)
    costs = replace(
        MEASURED,
        actor_start_s=assumed.actor_start_s,
        transfer_bytes_s=options.bandwidth,
        boss_requests_s=options.boss_requests,
        boss_bytes_s=options.boss_bytes,
        boss_latency_s=options.boss_latency,
    )
    benchmark = Benchmark.of(options.spaces)
    clusters = [
        Cluster(nodes=count, cpus_per_node=options.cpus, boot_s=options.boot, idle_s=options.idle)
        for count in options.nodes
    ]
    work = benchmark.work(assumed)
    print("\n".join(_about(benchmark, work, costs, clusters[-1].nodes)), end="\n\n")
    print("\n".join(_by_nodes(work, clusters, costs)), end="\n\n")
    print("\n".join(_settings(benchmark, assumed, clusters[-1], costs)))


if __name__ == "__main__":
    main()
