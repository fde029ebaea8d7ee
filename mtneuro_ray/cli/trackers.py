"""`mtneuro-ray results push`: runs in a tracker."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from mtneuro_ray.cli.options import Model, OnlyTask, Out
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.config.trackers import TrackerAddress
from mtneuro_ray.progress import working


def run_results_push(
    to: Annotated[
        str,
        Option(
            metavar="TRACKER[:PLACE]",
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

    with working(f"adding {len(records)} runs to {address.name}"):
        added, known = push(records, folder, address, "--to")
    print(f"{to}: {added} runs added, {known} were there")
    return 0
