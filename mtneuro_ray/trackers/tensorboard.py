"""TensorBoard: a folder of event files per run, `PLACE/SWEEP/MODEL/TASK/RUN_ID`, written by tensorboardX."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.trackers.base import Tracked, Tracker, TrackerDeclaration

TENSORBOARD = TrackerDeclaration(
    name="tensorboard",
    summary="TensorBoard event files in a folder",
    build="mtneuro_ray.trackers.tensorboard:open_folder",
    packages=("tensorboardX",),
    places="a folder on this machine; OUT/trackers/tensorboard by default",
)
_DIGEST = "digest"


def open_folder(place: str | None, out: Folder, sweep: str) -> Tracker:
    """The tracker on a folder."""
    return _TensorBoard(local_folder(place, out, "tensorboard") / sweep)


def local_folder(place: str | None, out: Folder, name: str) -> Path:
    """Folder of a tracker on this machine; by default OUT/trackers/NAME.

    Raises:
        InputError: it is in a bucket.
    """
    if place is None and out.is_local:
        return out.local_path / "trackers" / name
    if place is None or "://" in place:
        raise InputError(f"{name}: {place or out}: is not on this machine; accepted: {name}:///PATH")
    return Path(place).expanduser().absolute()


class _TensorBoard(Tracker):
    """Keeps each run in a folder, which appears whole."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, run: Tracked) -> bool:
        """Write the event file of a run."""
        folder = self._root / run.experiment / run.run_id
        digest = folder / _DIGEST
        if digest.is_file() and digest.read_text() == run.digest:
            return False
        # By the run's name, so that what a killed process left is replaced.
        temporary = self._root / f".partial-{run.run_id}"
        shutil.rmtree(temporary, ignore_errors=True)
        _write(run, temporary)
        (temporary / _DIGEST).write_text(run.digest)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(temporary, folder)
        return True


def _write(run: Tracked, folder: Path) -> None:
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams

    writer = SummaryWriter(str(folder))
    last = run.history[-1][0] if run.history else 0
    for epoch, values in run.history:
        for name, value in values.items():
            writer.add_scalar(name, value, epoch, walltime=_time_of(run, epoch, last))
    for name, value in run.metrics.items():
        writer.add_scalar(f"final/{name}", value, last, walltime=run.ended_at or None)
    settings = {
        path: value if isinstance(value, (bool, int, float, str)) else str(value)
        for path, value in run.settings.items()
    }
    # The page HPARAMS: a row for each run, with its final metrics.
    for summary in hparams(settings, {f"final/{name}": None for name in run.metrics}):
        writer.file_writer.add_summary(summary)
    lines = [f"- {name}: `{address}`" for name, address in run.links.items()]
    about = [f"{run.name}, {run.status}{f': {run.error}' if run.error else ''}", "", *lines]
    writer.add_text("run", "\n".join(about), last)
    writer.close()


def _time_of(run: Tracked, epoch: int, last: int) -> float | None:
    """Epochs evenly between begin and end of the run, which are all that is known; None where they are not."""
    if not run.began_at or not last:
        return None
    return run.began_at + (run.ended_at - run.began_at) * epoch / last
