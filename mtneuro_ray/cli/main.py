"""Entry of the command line: all commands, and the place where errors become one line and an exit status."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mtneuro_ray import __version__
from mtneuro_ray.errors import InputError, MTNeuroError, nearest, printable
from mtneuro_ray.interrupts import interruptible

_PROGRAM = "mtneuro-ray"
# Command, of one or two words -> its module, its help, whose first line the list of commands shows, and an example.
COMMANDS = {
    "inspect": (
        "inspect",
        "Show what volumes hold: metadata, grey values, labels.\n\nReads a bounded sample of the voxels.",
        "inspect phantom://thalamocortical/image",
    ),
    "init": (
        "init",
        "Write a task, a network and a tune space for a volume.\n\nFitted to data and machine, with the reasons. "
        "On a terminal it asks for what is missing. `sweep` then runs as it is.",
        "init --image image.tif --labels labels.tif project",
    ),
    "plan": (
        "plan",
        "Show what would be read and run, and estimate its cost.\n\nStarts no cluster and reads no voxels.",
        "plan --task task2_2D_3class --network UNet_2D_3class",
    ),
    "ingest": (
        "data",
        "Fill the cutout store with what a task reads.",
        "ingest --task task1 --volume phantom --store store",
    ),
    "train": (
        "training",
        "Train one model on one task and evaluate it on test.",
        "train --task task1 --network SUP_ResNet-18_2D --volume phantom --preset smoke --out out",
    ),
    "sweep": (
        "training",
        "Search a tune space, then repeat the best over seeds.\n\nThe same command continues a sweep that was stopped.",
        "sweep --space smoke --out out",
    ),
    "results": (
        "results",
        "Query and compare the runs of an output folder.",
        "results table --out out --format md",
    ),
    "results push": (
        "trackers",
        "Add the runs of an output folder to a tracker.\n\nTensorBoard, MLflow, Weights & Biases (offline) or Aim, "
        "from run files. What the tracker has is left as it is.",
        "results push --to tensorboard://events --out out",
    ),
    "results bundle": (
        "submissions",
        "Write the finished runs as a submission: one file with checksums.\n\nRun files, their table, settings and "
        "environment, without the names of this machine and its folders.",
        "results bundle --out out --to bundle.zip",
    ),
    "results leaderboard": (
        "submissions",
        "Write a page of submissions, whose checksums are verified.",
        "results leaderboard first.zip second.zip --to page.html",
    ),
    "evaluate": (
        "finished",
        "Measure trained models on another split, task or volume.\n\nTrains nothing; writes "
        "OUT/evaluations/RUN-....json.",
        "evaluate --out out --task task1_c2 --model SUP_ResNet-18",
    ),
    "predict": (
        "finished",
        "Write what trained segmentation models predict.\n\nWrites OUT/predictions/RUN.zarr, as OME-Zarr; or, with "
        "--volume, predicts a volume of any size. The same command goes on after it was stopped.",
        "predict --out out --best --volume zarr://brain.zarr --to zarr://prediction.zarr",
    ),
    "measure": (
        "measure",
        "Count cells and measure vessels in a label volume.\n\nShares of classes, connected components and their "
        "sizes, lengths by skeleton; by box and by region, in blocks.",
        "measure --prediction zarr://labels.zarr --classes vessels=1,cells=2 --voxel-size 4,2,2 --to cells.parquet",
    ),
    "view": (
        "view",
        "Show an image and predictions of it in Neuroglancer.\n\nServes a page on this machine alone, until Ctrl-C.",
        "view --image zarr://brain.zarr --prediction zarr://prediction.zarr",
    ),
    "figures": (
        "figures",
        "Draw everything that the runs allow, into OUT/figures.\n\nSlices and 3D views of predictions, embeddings and "
        "mined views of encoders, which are made where they are missing, tables of encoders as points, the correlation "
        "of slices, learning curves, searches, confusion matrices, seeds, classes and times.",
        "figures --out out --region STR --region VP",
    ),
    "report": (
        "figures",
        "Write all results on one page: OUT/report.html.\n\nTables that sort, all runs, learning curves, search, "
        "scores, slices, embeddings, times and failures; it loads nothing. `results serve` shows the same while a "
        "sweep runs.",
        "report --out out",
    ),
    "export": (
        "export",
        "Write a trained run, or a task's splits, for use elsewhere.\n\nRun: weights, program, card and example that "
        "need no mtneuro_ray, into OUT/export/RUN_ID. Data: NumPy files in OUT/data/TASK.",
        "export --run RUN_ID --onnx --out out",
    ),
    "list": (
        "list",
        "Show what there is: models, methods, tasks, networks, ...\n\nWith a NAME: each key with its type, default and "
        "meaning.",
        "list models UNet",
    ),
    "doctor": (
        "doctor",
        "Look at this machine, and say what to do about what it lacks.\n\nPackages, GPU, processors, memory, Ray; with "
        "--out, --store and --volume whether they can be written and read.",
        "doctor --out out --volume bossdb://prasad/prasad2020/image",
    ),
    "profile": (
        "costs",
        "Measure the memory and seconds of a tune space's runs.\n\nOn this machine, with random data; for sweep "
        "--packing and plan --profile.",
        "profile --space smoke --out costs.json",
    ),
}
# Exit statuses of shells after Ctrl-C, which typer uses too, and after SIGTERM.
_INTERRUPTED, _TERMINATED = 130, 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words after the program's name; by default those of this process.

    Returns:
        0; 1 where runs failed or a volume can't be read; 2 on bad input; 130 after Ctrl-C; 143 after SIGTERM.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        with interruptible(signal.SIGTERM) as terminated:
            status: int = _application().main(arguments, prog_name=_PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        return _told(_refusal(error), 2)
    except MTNeuroError as error:
        return _told(str(error), error.exit_status)
    except OSError as error:
        # A folder that cannot be written, a full disk: the line names the file.
        return _told(" ".join(str(error).splitlines()), 1)
    if status == _INTERRUPTED:
        word, status = ("terminated", _TERMINATED) if terminated.came else ("interrupted", status)
        print(f"{word}; the same command goes on where this one stopped", file=sys.stderr)
    return status


def _told(problem: str, status: int) -> int:
    print(f"error: {printable(problem)}", file=sys.stderr)
    return status


class _Command(TyperCommand):
    """A command that refuses a repeated option of one value; typer would silently take the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command's name.

        Raises:
            InputError: an option stands twice.
        """
        seen = set()
        for parameter in self.make_parser(ctx).parse_args(list(args))[2]:
            if parameter in seen and not parameter.multiple and parameter.param_type_name == "option":
                raise InputError(f"{ctx.command_path}: {parameter.opts[0]}: stands twice; accepted: once")
            seen.add(parameter)
        return super().parse_args(ctx, args)


class _Commands(TyperGroup):
    """All commands by name; the module of a command is imported when it is called, not to list it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name, command and the words left."""
        name, _, rest = super().resolve_command(ctx, args)
        if name is None:
            return name, None, rest
        if rest and f"{name} {rest[0]}" in COMMANDS:
            name, rest = f"{name} {rest[0]}", rest[1:]
        return name, command_named(name, self.rich_markup_mode), rest


def command_named(name: str, markup: Any = None) -> Any:
    """A command with its options, of its own module."""
    run = getattr(import_module(f"mtneuro_ray.cli.{COMMANDS[name][0]}"), f"run_{name.replace(' ', '_')}")
    alone = typer.Typer(add_completion=False, rich_markup_mode=markup)
    _declare(alone, name, _quietly(run))
    command: Any = get_command(alone)
    for option in (each for each in command.params if each.param_type_name == "option" and not each.is_flag):
        if not option.type_descriptor.choices:  # `--task TASK` says more than the type of the value
            option.metavar = option.metavar or option.opts[0].removeprefix("--").upper()
    return command


def _application() -> Any:
    # Boxes and colors on a terminal, plain text in a pipe.
    application = typer.Typer(cls=_Commands, rich_markup_mode="rich" if sys.stdout.isatty() else None)
    application.callback(
        help="The MTNeuro benchmark as a training and tuning platform on Ray.", epilog=_example("sweep")
    )(_program)
    for name in COMMANDS:
        _declare(application, name, _stub)
    return get_command(application)


def _declare(application: typer.Typer, name: str, run: Callable[..., Any]) -> None:
    application.command(name, cls=_Command, help=COMMANDS[name][1], epilog=_example(name))(run)


def _example(name: str) -> str:
    return f"example: {_PROGRAM} {COMMANDS[name][2]}"


def _stub() -> None:
    """Placeholder of a command whose module is not imported yet."""


def _show_version(asked: bool) -> None:
    if asked:
        print(f"{_PROGRAM} {__version__}")
        raise typer.Exit


def _program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself; each ends it."""


def _quietly(run: Callable[..., int]) -> Callable[..., int]:
    """The command, ending silently when its reader, such as `head`, closes the pipe."""

    @wraps(run)
    def call(**options: Any) -> int:
        try:
            status = run(**options)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python must not complain again when it closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return status

    return call


def _refusal(error: typer.TyperException) -> str:
    """An error of the command line as `COMMAND: OPTION: what; accepted: ...`."""
    context: Any = getattr(error, "ctx", None)
    command = _PROGRAM if context is None else context.command_path
    parameter: Any = getattr(error, "param", None)
    if parameter is None:
        near = getattr(error, "possibilities", None)
        text = " ".join(error.message.split()).rstrip(".")
        hint = f"; did you mean {' or '.join(sorted(near))}?" if near else ""
        return f"{command}: {text[0].lower()}{text[1:]}{hint}; accepted: see {command} --help"
    name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.display_name_raw
    # `results push` is a command; to the parser of `results` it is a word like `results table`.
    own = [] if name != "WHAT" else [each.split()[1] for each in COMMANDS if each.startswith("results ")]
    choices = [*(parameter.type_descriptor.choices or ()), *own]
    accepted = ", ".join(choices) or _accepted(parameter) or f"see {command} --help"
    if problems := list[Any](getattr(error.__cause__, "errors", list)()):
        value = str(problems[0]["input"])
        return f"{command}: {name}: is {value!r}{nearest(value, choices)}; accepted: {accepted}"
    return f"{command}: {name}: {error.message or 'is missing'}; accepted: {accepted}"


def _accepted(parameter: Any) -> str:
    kind = parameter.type_descriptor
    words = {int: "a whole number", float: "a number"}.get(kind.annotation, "")
    low = "" if parameter.min is None else f" from {parameter.min:g} to"
    return words if parameter.max is None else f"{words}{low or ' up to'} {parameter.max:g}"


if __name__ == "__main__":
    sys.exit(main())
