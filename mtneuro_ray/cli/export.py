"""`mtneuro-ray export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mtneuro_ray.cli.options import Out, Preset, Store, Task, Volume, store_of
from mtneuro_ray.errors import InputError


def run(
    what: Annotated[Literal["data"], typer.Argument(help="data: the splits of a task")],
    task: Task,
    volume: Volume = None,
    preset: Preset = None,
    format: Annotated[Literal["npz", "npy"], typer.Option(help="a file per split, or one per array")] = "npz",
    out: Out = "out",
    store: Store = None,
) -> int:
    """Write a task's splits as NumPy files into OUT/data/TASK."""
    from mtneuro_ray.api.task_data import load_task
    from mtneuro_ray.data.export import export_splits

    if "://" in out:
        raise InputError(f"--out: {out}: NumPy files are written to this machine; accepted: a path")
    cutouts = store_of(store, out)
    loaded = load_task(task, volume=volume, preset=preset, store=cutouts.folder)
    folder = Path(out) / "data" / loaded.settings.name
    for file in export_splits(loaded.settings, loaded.splits(), folder, format):
        print(file)
    return 0
