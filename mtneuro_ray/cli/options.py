"""Options that several commands share, and the checks of every path and number that a command line gives."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from mtneuro_ray.errors import InputError

# Set by Ray in the entry point of a submitted job.
_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_MOST_PROCESSORS = 4096


def path_of(text: str | None, option: str) -> str | None:
    """A path with `~` expanded, or an address as it is.

    Args:
        text: Value of the option; None where it is not given.
        option: Its name, for the error.

    Raises:
        InputError: the path is empty, or names the home folder of nobody.
    """
    if text is None:
        return None
    if not text.strip():
        raise InputError(f"{option}: is empty; accepted: a path or an address")
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        raise InputError(f"{option}: {text}: there is no such user; accepted: a path") from None


def _read(option: str) -> Callable[[str | None], str | None]:
    return lambda text: path_of(text, option)


def _written(option: str) -> Callable[[str | None], str | None]:
    """Check of a place that outlives the command: a job's working folder is deleted with the job."""

    def check(text: str | None) -> str | None:
        text = path_of(text, option)
        if text is not None and "://" not in text and not os.path.isabs(text) and _JOB in os.environ:
            raise InputError(
                f"{option}: {text!r} is relative to the folder of a Ray job, which is deleted with it; accepted: an "
                "absolute path that every machine of the cluster reaches, or s3://..."
            )
        return text

    return check


def positive(option: str) -> Callable[[float | None], float | None]:
    """Callback that refuses a number that is not above 0.

    Args:
        option: Its option, for the error.
    """

    def check(value: float | None) -> float | None:
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{option}: is {value:g}; accepted: more than 0")
        return value

    return check


Task = Annotated[str, typer.Option(callback=_read("--task"), help="task, by name or path")]
Network = Annotated[str, typer.Option(callback=_read("--network"), help="network, by name or path")]
Space = Annotated[str, typer.Option(callback=_read("--space"), help="tune space, by name or path")]
Volume = Annotated[
    str | None,
    typer.Option(
        callback=_read("--volume"),
        help="read the task's channels from here instead: phantom (built in), or a base URI such as zarr:///data/x",
    ),
]
Preset = Annotated[str | None, typer.Option(help="scale: smoke (minutes on a CPU) or paper")]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="change a key of the network; may be given several times"),
]
Out = Annotated[
    str,
    typer.Option(metavar="DIR", callback=_written("--out"), help="folder of results, here or s3://..."),
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        envvar="MTNEURO_STORE",
        callback=_written("--store"),
        help="folder of cutouts, shared by all runs; default: MTNEURO_STORE, else OUT/store",
    ),
]
Table = Annotated[
    str,
    typer.Option(
        metavar="TABLE.json",
        callback=_written("--out"),
        help="table that is written, or in which what is measured again is replaced",
    ),
]
Packing = Annotated[
    str | None,
    typer.Option(
        metavar="TABLE.json",
        callback=_read("--packing"),
        help="table of `mtneuro-ray profile`: as many trials share a GPU, or a machine's memory, as it says will fit; "
        "default: the space's",
    ),
]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to run on; default: RAY_ADDRESS, else one on this machine")
]
NumCpus = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=_MOST_PROCESSORS, help="CPUs of a cluster started here; default: all"),
]
Threads = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, max=_MOST_PROCESSORS, help="CPU threads; default: as many as the run's workers had"
    ),
]
Gpu = Annotated[bool, typer.Option("--gpu", help="compute on a GPU")]
Model = Annotated[str | None, typer.Option(help="only this model")]
OnlyTask = Annotated[str | None, typer.Option("--task", help="only this task")]
TrainedOn = Annotated[
    str | None, typer.Option("--trained-on", metavar="TASK", help="only runs that were trained on it")
]
EvaluatedSplit = Annotated[Literal["train", "val", "test"], typer.Option("--split")]
Runs = Annotated[
    list[str],
    typer.Option("--run", metavar="RUN_ID", help="may be given several times; default: every run that qualifies"),
]
Nodes = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=10_000, help="estimate how long a space takes on so many machines"),
]
GpusPerNode = Annotated[int | None, typer.Option(metavar="G", min=1, max=64, help="where trials have GPUs; default: 1")]
CpusPerNode = Annotated[
    int | None, typer.Option(metavar="C", min=1, max=_MOST_PROCESSORS, help="needed where trials have no GPUs")
]
Profile = Annotated[
    str | None,
    typer.Option(
        metavar="TABLE.json", callback=_read("--profile"), help="table of `mtneuro-ray profile`, for the estimate"
    ),
]
IngestRate = Annotated[
    float | None,
    typer.Option(
        metavar="MB/S", max=1e9, callback=positive("--ingest-rate"), help="adds the time of reading from the source"
    ),
]
GpuHour = Annotated[float | None, typer.Option(metavar="P", max=1e9, callback=positive("--price-per-gpu-hour"))]
NodeHour = Annotated[float | None, typer.Option(metavar="P", max=1e9, callback=positive("--price-per-node-hour"))]
