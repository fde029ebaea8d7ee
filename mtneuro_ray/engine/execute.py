"""One run from its settings to its file, on every worker that takes part in it."""

from __future__ import annotations

import platform
import socket
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

import mtneuro_ray
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine.loop import Outcome, train
from mtneuro_ray.engine.oom import oom_guard
from mtneuro_ray.engine.predict import load_model
from mtneuro_ray.errors import MTNeuroError, OutOfMemoryError, in_one_line
from mtneuro_ray.storage.checkpoints import LAST, checkpoint_folder
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.storage.run_log import run_log
from mtneuro_ray.tasks.training.base import ReadingTask


def execute(
    run: RunSettings,
    data: Mapping[Split, SplitArrays],
    context: WorkerContext,
    out: Folder,
    encoder: Mapping[str, torch.Tensor] | None = None,
    *,
    keeps_weights: bool = False,
    placement: Mapping[str, Any] | None = None,
) -> RunRecord:
    """Train a run, or read its encoder, and write its run file on the leader, also where it ends in an error.

    Output and the traceback of an error go to its log (`storage.run_log`).

    Args:
        run: Settings of the run.
        data: Splits of its task.
        context: This worker.
        out: Folder of the run files.
        encoder: Weights that the model's encoder starts from.
        keeps_weights: Whether a `candidate` leaves its weights in the output folder, as a `final` run does.
        placement: Further entries of the record's `placement`.

    Raises:
        Exception: an error that the run's settings or data did not cause; the run file has it, too.
    """
    runs = RunFolder(out)
    placed = {
        "workers": context.world_size,
        "threads": context.threads,
        "device": device_name(context.device),
        **(placement or {}),
    }
    began_at = time.time()
    details: dict[str, Any] = {"placement": placed, "versions": versions(), "host": socket.gethostname()}
    with run_log(out, run.run_id, keeps=context.is_leader) as log:
        try:
            if run.encoder_run is None:
                outcome = train(run, data, context, encoder, keeps_weights=keeps_weights)
            else:
                outcome = _read_out(run, run.encoder_run, data, context, out)
            record = RunRecord(
                run_id=run.run_id,
                status="done",
                summary=run.summary(),
                settings=run.model_dump(mode="json"),
                metrics=outcome.metrics,
                history=outcome.history,
                class_counts=outcome.class_counts,
                timings={**outcome.timings, "began_at": began_at, "ended_at": time.time()},
                notes=outcome.notes,
                **details,
            )
        except MTNeuroError as error:
            if isinstance(error, OutOfMemoryError):
                placed["out_of_memory"] = True
            log.note_error(error)
            record = RunRecord.failed(run, str(error), **details)
        except Exception as error:
            if context.is_leader:
                runs.write(RunRecord.failed(run, in_one_line(error), **details))
            raise
    if context.is_leader:
        runs.write(record)
        if context.checkpoints is not None:
            # Its result is safe; what is left there is only good for going on with the run.
            context.checkpoints.delete(LAST)
    return record


def _read_out(
    run: RunSettings, encoder_run: RunSettings, data: Mapping[Split, SplitArrays], context: WorkerContext, out: Folder
) -> Outcome:
    """Read the frozen encoder that another run has left."""
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(context.device.type == "cpu")
    weights = checkpoint_folder(out, encoder_run)
    model = load_model(encoder_run, weights, context.device, drops_damaged=context.is_leader)
    task: ReadingTask = run.task.declaration.resolve()(run)
    with oom_guard("while reading features", "a device with more memory"):
        reading = task.read(model, data, context)
    if context.is_leader:
        reading.write(out)
    return Outcome(reading.metrics, [], timings=reading.timings)


def device_name(device: torch.device) -> str:
    """Name of a device in run files."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type


def versions() -> dict[str, str]:
    """Versions of what decides the numbers of a run."""
    return {
        "mtneuro_ray": mtneuro_ray.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": version("scikit-learn"),
    }
