"""Options that several commands share, the checks of paths and numbers, and the folders of `--out` and `--store`."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from mtneuro_ray.cli import completion
from mtneuro_ray.config.preset import PRESETS
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder

_BOX = re.compile(r"(\d{1,10}):(\d{1,10}),(\d{1,10}):(\d{1,10}),(\d{1,10}):(\d{1,10})")
# Set by Ray in the entry point of a submitted job.
_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
MOST_PROCESSORS = 4096


def path(param: typer.CallbackParam, text: str | None) -> str | None:
    """Callback that expands `~` in a path; addresses stay as they are.

    Raises:
        InputError: the path is empty, or names the home folder of an unknown user.
    """
    if text is None:
        return None
    option = param.opts[0]
    if not text.strip():
        raise InputError(f"{option}: is empty; accepted: a path or an address")
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        raise InputError(f"{option}: {text}: there is no such user; accepted: a path") from None


def written(param: typer.CallbackParam, text: str | None) -> str | None:
    """Callback for a folder that outlives the command: the working folder of a Ray job is deleted with the job."""
    text = path(param, text)
    if text is not None and "://" not in text and not os.path.isabs(text) and _JOB in os.environ:
        raise InputError(
            f"{param.opts[0]}: {text!r} is relative to the folder of a Ray job, which is deleted with it; accepted: an "
            "absolute path that every machine of the cluster reaches, or s3://..."
        )
    return text


def all_written(param: typer.CallbackParam, texts: list[str]) -> list[str]:
    """Callback of a repeated folder; see `written`."""
    return [text for each in texts if (text := written(param, each)) is not None]


def positive(param: typer.CallbackParam, value: float | None) -> float | None:
    """Callback that refuses a number that is not above 0."""
    if value is not None and not 0 < value < math.inf:
        raise InputError(f"{param.opts[0]}: is {value:g}; accepted: more than 0")
    return value


def out_of(out: str) -> Folder:
    """The output folder of a command.

    Raises:
        MTNeuroError: it can't be reached.
    """
    folder = Folder(out)
    folder.check()
    return folder


def store_of(store: str | None, out: str) -> CutoutStore:
    """The cutout store of a command, by default in its output folder.

    Raises:
        MTNeuroError: it can't be reached.
    """
    folder = Folder(store) if store else Folder(out) / "store"
    folder.check()
    return CutoutStore(folder)


def parse_box(option: str, text: str) -> Roi:
    """The box in `z0:z1,y0:y1,x0:x1`.

    Raises:
        InputError: it is malformed or empty.
    """
    match = _BOX.fullmatch(text.replace(" ", ""))
    if match is None:
        raise InputError(f"{option}: {text!r} is no box; accepted: Z0:Z1,Y0:Y1,X0:X1 in voxels, half-open")
    z0, z1, y0, y1, x0, x1 = map(int, match.groups())
    try:
        return Roi((z0, z1), (y0, y1), (x0, x1))
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None


Task = Annotated[
    str, typer.Option(callback=path, autocompletion=completion.names("tasks"), help="task, by name or path")
]
Network = Annotated[
    str, typer.Option(callback=path, autocompletion=completion.names("networks"), help="network, by name or path")
]
Space = Annotated[
    str, typer.Option(callback=path, autocompletion=completion.names("spaces"), help="tune space, by name or path")
]
Volume = Annotated[
    str | None,
    typer.Option(
        callback=path,
        autocompletion=completion.names("volumes"),
        help="read the task's channels from here instead: phantom (built in), or a base URI such as zarr:///data/x; "
        "NAME=URI for one of its `volumes`, own=URI for the task's own",
    ),
]
Preset = Annotated[
    str | None, typer.Option(autocompletion=completion.words(*PRESETS), help="scale: smoke (minutes on a CPU) or paper")
]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="change a key of the network; may be given several times"),
]
Out = Annotated[
    str,
    typer.Option(metavar="DIR", callback=written, help="folder of results, here or s3://..."),
]
Outs = Annotated[
    list[str],
    typer.Option("--out", metavar="DIR", callback=all_written, help="folder of results; several for compare"),
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        envvar="MTNEURO_STORE",
        callback=written,
        help="folder of cutouts, shared by all runs; default: MTNEURO_STORE, else OUT/store",
    ),
]
Packing = Annotated[
    str | None,
    typer.Option(
        metavar="TABLE.json",
        callback=path,
        help="table of `mtneuro-ray profile`: as many trials share a GPU, or a machine's memory, as it says will fit; "
        "default: the space's",
    ),
]
MemoryBudget = Annotated[
    str | None,
    typer.Option(
        metavar="BYTES",
        help="a split that takes more memory than this, such as 2GB, is read from the store while it trains; default: "
        "the space's, else a third of a node's object store",
    ),
]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to run on; default: RAY_ADDRESS, else one on this machine")
]
NumCpus = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=MOST_PROCESSORS, help="CPUs of a cluster started here; default: all"),
]
Model = Annotated[str | None, typer.Option(help="only this model")]
OnlyTask = Annotated[
    str | None, typer.Option("--task", autocompletion=completion.names("tasks"), help="only this task")
]
