"""`mtneuro-ray results bundle` and `mtneuro-ray results leaderboard`: submissions, and a page of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mtneuro_ray.cli.options import Model, OnlyTask, Out, path
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.errors import InputError
from mtneuro_ray.progress import working

ToFile = Annotated[str, Option(metavar="FILE", callback=path, help="file to write; replaced if it is there")]


def run_results_bundle(
    to: ToFile,
    name: Annotated[str | None, Option(help="name of the submission; default: that of the file")] = None,
    out: Out = "out",
    model: Model = None,
    task: OnlyTask = None,
) -> int:
    """Write the finished runs as one file with checksums."""
    from mtneuro_ray.results.bundle import write_bundle

    results, _ = load_runs(out)
    file = Path(to)
    with working(f"writing {file}"):
        count = write_bundle(results.where(model, task), file, name or file.stem)
    print(f"{file}: {count} runs")
    return 0


def run_results_leaderboard(
    bundles: Annotated[list[str], Argument(metavar="BUNDLE...", help="files of `results bundle`")],
    to: ToFile,
    title: Annotated[str, Option(help="heading of the page")] = "Leaderboard",
) -> int:
    """Write a page of submissions, each of which is checked."""
    from mtneuro_ray.results.bundle import read_bundle
    from mtneuro_ray.results.leaderboard.page import leaderboard

    with working(f"reading {len(bundles)} submissions"):
        found = [read_bundle(Path(file)) for file in bundles]
    if len({bundle.digest for bundle in found}) < len(found):
        raise InputError("results leaderboard: a bundle stands twice; accepted: each once")
    Path(to).parent.mkdir(parents=True, exist_ok=True)
    Path(to).write_text(leaderboard(found, title))
    print(to)
    return 0
