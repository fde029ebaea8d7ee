"""One run from its settings to its file, on every worker that takes part in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.samples import SplitData
from mtneuro_ray.engine.device import about_execution, make_repeatable, oom_guard
from mtneuro_ray.engine.finished import load_model
from mtneuro_ray.engine.loop import Outcome, train
from mtneuro_ray.errors import MTNeuroError, OutOfMemoryError, in_one_line
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import LAST, RunFolder, RunRecord, checkpoint_folder
from mtneuro_ray.storage.run_log import run_log
from mtneuro_ray.tasks.training.base import Reading


def execute(
    run: RunSettings,
    data: Mapping[Split, SplitData],
    context: WorkerContext,
    out: Folder,
    encoder: Mapping[str, torch.Tensor] | None = None,
    *,
    keeps_weights: bool = False,
    placement: Mapping[str, Any] | None = None,
) -> RunRecord:
    """Train a run, or read its encoder, and write its run file on the leader, also where it ends in an error.

    Output and the traceback of an error go to its log (`storage.run_log`). `encoder` holds the weights that the
    model's encoder starts from; with `keeps_weights` a `candidate` leaves its weights in OUT, as a `final` run does;
    `placement` adds to the record's.

    Raises:
        Exception: an error that the run's settings or data did not cause; the run file has it, too.
    """
    runs, began_at = RunFolder(out), time.time()
    details = about_execution(context, **(placement or {}))
    with run_log(out, run.run_id, keeps=context.is_leader) as log:
        try:
            if run.encoder_run is None:
                outcome = train(run, data, context, encoder, keeps_weights=keeps_weights)
            else:
                outcome = _read_out(run, run.encoder_run, data, context, out)
            if context.is_leader:
                outcome.write(out)
            found = asdict(outcome)
            del found["write"]
            found["timings"] |= {"began_at": began_at, "ended_at": time.time()}
            record = RunRecord(run.run_id, "done", run.summary(), run.model_dump(mode="json"), **found, **details)
        except MTNeuroError as error:
            if isinstance(error, OutOfMemoryError):
                details["placement"]["out_of_memory"] = True
            log.note_error(error)
            record = RunRecord.failed(run, str(error), **details)
        except Exception as error:
            if context.is_leader:
                runs.write(RunRecord.failed(run, in_one_line(error), **details))
            raise
    if context.is_leader:
        runs.write(record)
        if context.checkpoints is not None:
            # The result is safe: a checkpoint is only good for going on with the run.
            context.checkpoints.delete(LAST)
    return record


def _read_out(
    run: RunSettings, encoder_run: RunSettings, data: Mapping[Split, SplitData], context: WorkerContext, out: Folder
) -> Outcome:
    """Read the frozen encoder that another run has left."""
    make_repeatable(context)
    weights = checkpoint_folder(out, encoder_run)
    model = load_model(encoder_run, weights, context.device, drops_damaged=context.is_leader)
    with oom_guard("while reading features"):
        reading: Reading = run.task.declaration.resolve()(run, model, data, context)
    return Outcome(reading.metrics, [], timings=reading.timings, write=reading.write)


def train_here(
    run: RunSettings,
    data: Mapping[Split, SplitData],
    out: Folder,
    *,
    encoder: Mapping[str, torch.Tensor] | None = None,
    gpu: bool = False,
    threads: int = 1,
    report: Callable[[Mapping[str, Any]], None] = lambda entry: None,
) -> RunRecord:
    """Train one run in this process."""
    device = torch.device("cuda" if gpu else "cpu")
    context = WorkerContext(device=device, threads=threads, checkpoints=checkpoint_folder(out, run), report=report)
    return execute(run, data, context, out, encoder)
