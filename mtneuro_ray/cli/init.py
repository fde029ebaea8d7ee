"""`mtneuro-ray init`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

from mtneuro_ray.cli.options import path
from mtneuro_ray.errors import InputError
from mtneuro_ray.onboarding.facts import Kind, Wishes
from mtneuro_ray.onboarding.pages import next_commands
from mtneuro_ray.onboarding.project import write_project

_VOLUME = "address of a volume, or a path of this machine"


def run_init(
    folder: Annotated[str | None, Argument(metavar="DIR", help="folder for the files; made if missing")] = None,
    image: Annotated[str | None, Option(metavar="URI", callback=path, help=f"the image: {_VOLUME}")] = None,
    labels: Annotated[str | None, Option(metavar="URI", callback=path, help="labels of the same shape")] = None,
    mask: Annotated[
        str | None, Option(metavar="URI", callback=path, help="volume that is 0 where the labels count for nothing")
    ] = None,
    task: Annotated[Kind | None, Option(help="kind of task; default: segmentation")] = None,
    classes: Annotated[
        str | None, Option(metavar="A,B,...", help="names of the classes, in ascending order of their labels")
    ] = None,
    dim: Annotated[
        int | None, Option(min=2, max=3, help="2 for slices, 3 for volumes; default: by the data and the machine")
    ] = None,
    dense: Annotated[bool, Option("--dense", help="the labels are dense, even where they look sparse")] = False,
    force: Annotated[bool, Option("--force", help="replace the files of a folder that is not empty")] = False,
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="seed of the places that are read")] = 0,
) -> int:
    """Write task, network, tune space and README, fitted to a volume and to this machine; ask for what is missing."""
    asks = _is_terminal()
    image = image or _asked(asks, "--image", "Image (address or path)")
    labels = labels or _asked(asks, "--labels", "Labels (address or path)")
    kind: Any = task or (_asked(asks, "--task", "Task", "segmentation") if asks else "segmentation")
    if kind not in ("segmentation", "classification", "readout"):
        raise InputError(f"--task: is {kind!r}; accepted: segmentation, classification, readout")
    if asks and mask is None:
        mask = _asked(asks, "--mask", "Mask, 0 where nothing is annotated (empty: none)", "") or None
    folder = folder or _asked(asks, "DIR", "Folder for the files", "project")
    if asks and not force and Path(folder).is_dir() and any(Path(folder).iterdir()):
        force = typer.confirm(f"{folder} is not empty; replace the files?", default=False, err=True)
    names = tuple(name.strip() for name in classes.split(",")) if classes else ()
    wanted: Literal[2, 3] | None = 2 if dim == 2 else 3 if dim == 3 else None
    wishes = Wishes(image, labels, mask, kind, names, wanted, dense, seed)
    project = write_project(wishes, Path(folder).expanduser(), force=force)
    for what, why in project.reasons.items():
        print(f"{what:12}{why}")
    for warning in project.warnings:
        print(f"note        {warning}")
    print("\nnext:", *next_commands(project, folder), sep="\n  ")
    return 0


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _asked(asks: bool, option: str, question: str, default: str | None = None) -> str:
    """The answer to a question on a terminal.

    Raises:
        InputError: there is no terminal.
    """
    if not asks:
        raise InputError(f"init: {option}: is missing; accepted: see mtneuro-ray init --help")
    return str(typer.prompt(question, default=default, err=True, show_default=bool(default))).strip()
