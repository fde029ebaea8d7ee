"""Arguments of every command, and the one place where errors become a line and an exit status."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, TypeAlias

from mtneuro_ray import __version__
from mtneuro_ray.errors import InputError, MTNeuroError

_EXAMPLES = {
    "plan": "mtneuro-ray plan --task task2_2D_3class --network UNet_2D_3class",
    "profile": "mtneuro-ray profile --space tune_spaces/smoke.toml --out costs.json",
    "ingest": "mtneuro-ray ingest --task task1 --volume phantom --store store",
    "train": "mtneuro-ray train --task task1 --network SUP_ResNet-18_2D --volume phantom --preset smoke --out out",
    "sweep": "mtneuro-ray sweep --space tune_spaces/smoke.toml --out out",
    "results": "mtneuro-ray results table --out out --format md",
    "evaluate": "mtneuro-ray evaluate --out out --task task1_c2 --model SUP_ResNet-18",
    "predict": "mtneuro-ray predict --out out --model UNet_2D",
    "figures": "mtneuro-ray figures --out out --region STR --region VP",
    "report": "mtneuro-ray report --out out",
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are as short as all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise InputError(f"{self.prog}: {message}; accepted: see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(prog="mtneuro-ray", description="The MTNeuro benchmark as a training and tuning platform on Ray.")
    parser.add_argument("--version", action="version", version=f"mtneuro-ray {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_plan(commands)
    _add_profile(commands)
    _add_ingest(commands)
    _add_train(commands)
    _add_sweep(commands)
    _add_results(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_figures(commands)
    _add_report(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def _add(commands: _Commands, name: str, summary: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=summary, description=summary, epilog=f"example: {_EXAMPLES[name]}")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--volume",
        help="read the task's channels from here instead: phantom (built in), or a base URI such as zarr:///data/x",
    )
    parser.add_argument("--preset", help="scale: smoke (minutes on a CPU) or paper")


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a key of the network; may be given several times",
    )


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="out", metavar="DIR", help="folder of results, here or s3://...; default: out")


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        default=os.environ.get("MTNEURO_STORE"),
        metavar="DIR",
        help="folder of cutouts, shared by all runs; default: MTNEURO_STORE, else OUT/store",
    )


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", help="Ray cluster to run on; default: RAY_ADDRESS, else one on this machine")
    parser.add_argument("--num-cpus", type=int, metavar="N", help="CPUs of a cluster started here; default: all")


def _add_plan(commands: _Commands) -> None:
    parser = _add(commands, "plan", "Show what would be read and run; starts no cluster and reads no voxels.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--task", help="task, by name or path")
    what.add_argument("--space", help="tune space, by path")
    parser.add_argument("--network", help="network, by name or path; checked against the task")
    _add_settings(parser)
    _add_overrides(parser)
    parser.add_argument("--nodes", type=int, metavar="N", help="estimate how long a space takes on so many machines")
    parser.add_argument("--gpus-per-node", type=int, metavar="G", help="where trials have GPUs; default: 1")
    parser.add_argument("--cpus-per-node", type=int, metavar="C", help="needed where trials have no GPUs")
    parser.add_argument("--profile", metavar="TABLE.json", help="table of `mtneuro-ray profile`, for the estimate")
    _add_packing(parser)
    parser.add_argument("--gpu", metavar="NAME", help="GPU of the table, where it has several")
    parser.add_argument("--ingest-rate", type=float, metavar="MB/S", help="adds the time of reading from the source")
    price = parser.add_mutually_exclusive_group()
    price.add_argument("--price-per-gpu-hour", type=float, metavar="P")
    price.add_argument("--price-per-node-hour", type=float, metavar="P")
    parser.add_argument("--format", choices=["text", "json"], default="text")


def _add_packing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--packing",
        metavar="TABLE.json",
        help="table of `mtneuro-ray profile`: as many trials share a GPU, or a machine's memory, as it says will fit; "
        "default: the space's",
    )


def _add_profile(commands: _Commands) -> None:
    parser = _add(
        commands,
        "profile",
        "Measure on this machine, with random data, what the trainings of a tune space cost: memory and seconds. For "
        "sweep --packing and plan --profile.",
    )
    parser.add_argument("--space", required=True, help="tune space, by path")
    _add_settings(parser)
    _add_overrides(parser)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="default: cuda where the space gives GPUs to its trials"
    )
    parser.add_argument("--steps", type=int, default=5, metavar="N", help="steps that are timed, at least; default: 5")
    parser.add_argument(
        "--out",
        required=True,
        metavar="TABLE.json",
        help="table that is written, or in which what is measured again is replaced",
    )


def _add_ingest(commands: _Commands) -> None:
    parser = _add(commands, "ingest", "Fill the cutout store with what a task reads.")
    parser.add_argument("--task", required=True, help="task, by name or path")
    _add_settings(parser)
    _add_out(parser)
    _add_store(parser)
    _add_cluster(parser)


def _add_train(commands: _Commands) -> None:
    parser = _add(commands, "train", "Train one model on one task and evaluate it on the test split.")
    parser.add_argument("--task", required=True, help="task, by name or path")
    parser.add_argument("--network", required=True, help="network, by name or path")
    parser.add_argument("--seed", type=int, help="default: the network's")
    _add_settings(parser)
    _add_overrides(parser)
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="Ray Train workers; 0 trains in this process; default: 1"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads of a worker; default: 1")
    parser.add_argument("--gpu", action="store_true", help="one GPU for each worker")
    _add_out(parser)
    _add_store(parser)
    _add_cluster(parser)


def _add_sweep(commands: _Commands) -> None:
    parser = _add(commands, "sweep", "Search the grid of a tune space, then repeat each best candidate over the seeds.")
    parser.add_argument("--space", required=True, help="tune space, by path")
    _add_settings(parser)
    _add_overrides(parser)
    _add_packing(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    _add_out(parser)
    _add_store(parser)
    _add_cluster(parser)


def _add_results(commands: _Commands) -> None:
    parser = _add(commands, "results", "Query the runs of an output folder.")
    parser.add_argument(
        "what",
        choices=["best", "table", "runs", "log", "proportions", "regions", "confusion"],
        help="best: best candidates; table: the paper's tables, over seeds; runs: all runs; log: what one run printed, "
        "with the traceback of its error; proportions: of the classes in the data; regions: F1 and IoU of each region; "
        "confusion: confusion matrices",
    )
    parser.add_argument("run_id", nargs="?", metavar="RUN_ID", help="for log: the run")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=5.0,
        metavar="SECONDS",
        help="for runs: follow a sweep, from any machine, until it is over; looks every 5 s by default",
    )
    _add_out(parser)
    parser.add_argument("--model", help="only this model")
    parser.add_argument("--task", dest="task_name", help="only this task")
    parser.add_argument("--metric", help="for best: validation metric, such as val/dataset/iou_mean")
    parser.add_argument("--mode", choices=["max", "min"], default="max", help="for best: which values are better")
    parser.add_argument("--format", choices=["md", "csv", "json", "latex"], default="md")


def _add_trained(parser: argparse.ArgumentParser, default: str) -> None:
    """Which runs' weights, on which split, computed where."""
    parser.add_argument(
        "--run", action="append", default=[], metavar="RUN_ID", help=f"may be given several times; default: {default}"
    )
    parser.add_argument("--model", help="only this model")
    parser.add_argument("--trained-on", dest="task_name", metavar="TASK", help="only runs that were trained on it")
    parser.add_argument("--split", choices=["train", "val", "test"], default="test", help="default: test")
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads; default: as many as the run's workers had"
    )
    parser.add_argument("--gpu", action="store_true", help="compute on a GPU")
    _add_out(parser)
    _add_store(parser)


def _add_evaluate(commands: _Commands) -> None:
    parser = _add(
        commands,
        "evaluate",
        "Measure trained models on another split, task or volume, with nothing trained: OUT/evaluations/RUN-....json.",
    )
    _add_trained(parser, "every finished final run of Tasks 1 and 2")
    parser.add_argument("--task", help="evaluate on this task, by name or path; default: the run's own")
    parser.add_argument(
        "--eval-crops",
        metavar="CROPS",
        help="what is shown of an image (Task 1): whole, corners, pooled or dense; default: the run's own",
    )
    _add_settings(parser)


def _add_predict(commands: _Commands) -> None:
    parser = _add(
        commands, "predict", "Write what trained segmentation models predict: OUT/predictions/RUN.zarr, as OME-Zarr."
    )
    _add_trained(parser, "for each model and setting the run of the first seed")


def _add_figures(commands: _Commands) -> None:
    parser = _add(
        commands,
        "figures",
        "Draw OUT/figures: slices and 3D views of predictions, embeddings and mined views of encoders, which are made "
        "where they are missing, tables of encoders as points, the correlation of slices, learning curves, grids and "
        "confusion matrices.",
    )
    parser.add_argument("--model", help="only this model")
    parser.add_argument("--task", dest="task_name", help="only this task")
    parser.add_argument(
        "--region", action="append", default=[], help="only this region; may be given several times; default: all"
    )
    parser.add_argument("--format", choices=["png", "svg", "pdf"], default="png", help="default: png")
    _add_out(parser)
    _add_store(parser)


def _add_report(commands: _Commands) -> None:
    parser = _add(commands, "report", "Write OUT/report.html: tables, learning curves, grids and pictures on one page.")
    _add_out(parser)
    _add_store(parser)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0; 1 where runs failed or a volume can't be read; 2 on bad input.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        options = build_parser().parse_args(arguments)
        module = import_module(f"mtneuro_ray.cli.{options.command}")
        status: int = module.run(options)
    except MTNeuroError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python must not complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # A folder that can't be written, a full disk: the machine's fault, and the line names the file.
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
