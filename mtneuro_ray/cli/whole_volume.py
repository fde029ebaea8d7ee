"""`mtneuro-ray predict --volume`: whole volumes."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import typer

from mtneuro_ray.cli.options import out_of, parse_box
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Shape

What = Literal["classes", "probabilities", "embeddings"]

_PANEL = "Whole volumes"
Volumes = Annotated[
    list[str],
    typer.Option(
        "--volume",
        metavar="URI",
        rich_help_panel=_PANEL,
        help="predict this image (address or path) instead of the runs' splits; several times for several channels",
    ),
]
To = Annotated[
    str | None,
    typer.Option(metavar="URI", rich_help_panel=_PANEL, help="zarr://PATH or precomputed://PATH, here or s3://..."),
]
Best = Annotated[
    bool,
    typer.Option("--best", rich_help_panel=_PANEL, help="the final run of the best candidate; default without --run"),
]
Box = Annotated[
    str | None,
    typer.Option(metavar="Z0:Z1,Y0:Y1,X0:X1", rich_help_panel=_PANEL, help="voxels, half-open; default: all"),
]
WhatOption = Annotated[
    What,
    typer.Option(
        "--what",
        rich_help_panel=_PANEL,
        help="probabilities are bytes: 255 x p, rounded; embeddings: features of an encoder",
    ),
]
Seeds = Annotated[
    bool,
    typer.Option(
        "--seeds", rich_help_panel=_PANEL, help="the mean of all seeds of the run, and their disagreement beside it"
    ),
]
Flips = Annotated[bool, typer.Option("--flips", rich_help_panel=_PANEL, help="the mean over all flips of a window")]
Overlap = Annotated[
    float,
    typer.Option(min=0.0, max=0.9, rich_help_panel=_PANEL, help="part of a window that the next one shares"),
]
Window = Annotated[
    str | None,
    typer.Option(metavar="Z,Y,X", rich_help_panel=_PANEL, help="the network's input; default: as in training"),
]
Block = Annotated[
    str | None,
    typer.Option(metavar="Z,Y,X", rich_help_panel=_PANEL, help="pixels computed and written at once; default: chosen"),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        max=4096,
        rich_help_panel=_PANEL,
        help="processes on Ray; 0: this one, without Ray; default: 0 for small volumes, else all there is room for",
    ),
]


class Which(NamedTuple):
    """Options that choose the run."""

    run: list[str]
    best: bool
    model: str | None
    trained_on: str | None
    out: str


class How(NamedTuple):
    """Options of the prediction and of its processes."""

    box: str | None
    what: What
    seeds: bool
    flips: bool
    overlap: float
    window: str | None
    block: str | None
    workers: int | None
    address: str | None
    num_cpus: int | None


def predict_whole(volume: list[str], to: str | None, which: Which, how: How, *, threads: int, gpu: bool) -> int:
    """Predict a whole volume, and print where it went."""
    if not volume or to is None:
        raise InputError("--volume, --to: only one of them is there; accepted: both, to predict a whole volume")
    if len(which.run) > 1 or (which.run and which.best):
        raise InputError("--run, --best: name several runs; accepted: one --run, or --best; all its seeds with --seeds")
    box = None if how.box is None else parse_box("--box", how.box)
    window, block = shape_of("--window", how.window), shape_of("--block", how.block)

    from mtneuro_ray.api.inference import predict_volume
    from mtneuro_ray.engine.volume_job import PredictionOptions

    options = PredictionOptions(how.what, how.flips, how.overlap, window, block, gpu, threads)
    predict_volume(
        volume,
        to,
        run=which.run[0] if which.run else None,
        model=which.model,
        task=which.trained_on,
        seeds=how.seeds,
        box=box,
        options=options,
        out=out_of(which.out),
        workers=how.workers,
        address=how.address,
        num_cpus=how.num_cpus,
    )
    print(to)
    return 0


def shape_of(option: str, text: str | None) -> Shape | None:
    """The numbers that `z,y,x` names.

    Raises:
        InputError: the text names none.
    """
    if text is None:
        return None
    try:
        z, y, x = map(int, text.split(","))
    except ValueError:
        z = y = x = 0
    if min(z, y, x) < 1 or max(z, y, x) > 2**16:
        raise InputError(f"{option}: is {text!r}; accepted: three whole numbers from 1 to 65536, as 32,128,128")
    return z, y, x
