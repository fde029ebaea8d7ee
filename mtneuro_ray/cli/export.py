"""`mtneuro-ray export`: the data of a task for other frameworks, or a trained run for other people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from mtneuro_ray.cli.completion import names
from mtneuro_ray.cli.options import Out, Preset, Store, Volume, path, store_of
from mtneuro_ray.cli.results import load_runs
from mtneuro_ray.errors import InputError
from mtneuro_ray.progress import working

_DATA, _RUN = "Data of a task", "A trained run"


def run_export(
    what: Annotated[
        Literal["data", "run"] | None,
        Argument(help="data: the splits of a task; run: a trained run; default: run with --run, else data"),
    ] = None,
    task: Annotated[
        str | None,
        Option(
            callback=path,
            autocompletion=names("tasks"),
            rich_help_panel=_DATA,
            help="for data: task, by name or path",
        ),
    ] = None,
    volume: Volume = None,
    preset: Preset = None,
    format: Annotated[
        Literal["npz", "npy"], Option(rich_help_panel=_DATA, help="for data: a file per split, or one per array")
    ] = "npz",
    run: Annotated[
        str | None, Option("--run", metavar="RUN_ID", rich_help_panel=_RUN, help="for run: a finished final run")
    ] = None,
    to: Annotated[
        str | None,
        Option(metavar="DIR", callback=path, rich_help_panel=_RUN, help="for run: folder; default: OUT/export/RUN_ID"),
    ] = None,
    onnx: Annotated[bool, Option("--onnx", rich_help_panel=_RUN, help="for run: the model as ONNX, too")] = False,
    bioimageio: Annotated[
        bool, Option("--bioimageio", rich_help_panel=_RUN, help="for run: a package for bioimage.io, tested, too")
    ] = False,
    push: Annotated[
        str | None,
        Option(metavar="hf://USER/NAME", rich_help_panel=_RUN, help="for run: upload the folder to the hub, too"),
    ] = None,
    out: Out = "out",
    store: Store = None,
) -> int:
    """Write a task's splits as NumPy files, or a trained run as a folder with weights, program, card and example."""
    what = what or ("run" if run else "data")
    if what == "data":
        if run or to or onnx or bioimageio or push:
            raise InputError("export data: --run, --to, --onnx, --bioimageio, --push: accepted: after `export run`")
        return _export_data(task, volume, preset, format, out, store)
    if task or volume or preset:
        raise InputError("export run: --task, --volume, --preset: accepted: after `export data`")
    if run is None:
        raise InputError("export run: --run: is missing; accepted: a RUN_ID of `results runs`")
    return _export_run(run, to, out, push, onnx=onnx, bioimage=bioimageio)


def _export_data(
    task: str | None,
    volume: str | None,
    preset: str | None,
    format: Literal["npz", "npy"],
    out: str,
    store: str | None,
) -> int:
    from mtneuro_ray.api import task_data
    from mtneuro_ray.data.export import export_splits

    if task is None:
        raise InputError("mtneuro-ray export: --task: is missing; accepted: see mtneuro-ray export --help")
    if "://" in out:
        raise InputError(f"--out: {out}: NumPy files are written to this machine; accepted: a path")
    loaded = task_data.load_task(task, volume=volume, preset=preset, store=store_of(store, out).folder)
    folder = Path(out) / "data" / loaded.settings.name
    with working(f"writing the splits of {loaded.settings.name}"):
        files = export_splits(loaded.settings, loaded.splits(), folder, format)
    for file in files:
        print(file)
    return 0


def _export_run(run_id: str, to: str | None, out: str, push: str | None, *, onnx: bool, bioimage: bool) -> int:
    from mtneuro_ray.results.selection import final_named, is_final_training

    results, _ = load_runs(out)
    record = final_named(run_id, filter(is_final_training, results.records), f"run of {out} with weights of its own")
    if to is None and "://" in out:
        raise InputError("--to: is missing; accepted: a folder on this machine, as --out is in a bucket")
    folder = Path(to or f"{out}/export/{run_id}")
    if "://" in str(to):
        raise InputError(f"--to: {to}: is not on this machine; accepted: a path")

    from mtneuro_ray.sharing import hub
    from mtneuro_ray.sharing.shared_folder import export_run

    if push is not None:
        hub.Repository.of(push, "--push")
    with working(f"exporting {record.summary['model']} of run {run_id}"):
        files, _ = export_run(record, results, folder, onnx=onnx, bioimage=bioimage)
    for file in files:
        print(file)
    if push is not None:
        with working(f"uploading to {push}"):
            print(hub.push(folder, push, run_id))
    return 0
