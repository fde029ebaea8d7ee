"""`mtneuro-ray results push`: runs in a tracker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

from typer import Option

from mtneuro_ray.cli.completion import names
from mtneuro_ray.cli.options import Model, OnlyTask, Out
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.config.trackers import TrackerAddress
from mtneuro_ray.progress import progress
from mtneuro_ray.storage.records import RunRecord


def run_results_push(
    to: Annotated[
        str,
        Option(
            metavar="TRACKER[:PLACE]",
            autocompletion=names("trackers"),
            help="tensorboard://FOLDER, mlflow:http://HOST:PORT, mlflow:sqlite:///FILE, wandb://FOLDER, aim://FOLDER; "
            "default place: OUT/trackers",
        ),
    ],
    out: Out = "out",
    model: Model = None,
    task: OnlyTask = None,
) -> int:
    """Add runs to a tracker, each once."""
    address = TrackerAddress.of(to, "--to")
    results, folder = load_runs(out)
    records = results.where(model, task).records

    from mtneuro_ray.trackers.push import push

    with progress(f"adding runs to {address.name}", len(records), "runs", patience_s=2.0) as advance:
        added, known = push(_counted(records, advance), folder, address, "--to")
    print(f"{to}: {added} runs added, {known} were there")
    return 0


def _counted(records: Sequence[RunRecord], advance: Callable[[int], None]) -> Iterator[RunRecord]:
    """The records, each counted when it is done."""
    for record in records:
        yield record
        advance(1)
