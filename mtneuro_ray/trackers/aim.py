"""Aim: runs in a repository of a folder; an experiment of Aim is `SWEEP/MODEL/TASK`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.trackers.base import Tracked, Tracker, TrackerDeclaration
from mtneuro_ray.trackers.tensorboard import local_folder

AIM = TrackerDeclaration(
    name="aim",
    summary="Aim, in a folder",
    build="mtneuro_ray.trackers.aim:open_folder",
    packages=("aim",),
    extra="aim",
    places="a folder on this machine; OUT/trackers/aim by default",
)
_DIGEST, _SWEEP, _RUN = "mtneuro_digest", "mtneuro_sweep", "mtneuro_run_id"


def open_folder(place: str | None, out: Folder, sweep: str) -> Tracker:
    """The tracker on a folder."""
    return _Aim(local_folder(place, out, "aim"), sweep)


class _Aim(Tracker):
    """Knows at the start which runs of the sweep are there: Aim chooses the names of its runs itself."""

    def __init__(self, root: Path, sweep: str) -> None:
        from aim import Repo

        root.mkdir(parents=True, exist_ok=True)
        self._repo: Any = Repo.from_path(str(root), init=True)
        self._sweep = sweep
        self._known: dict[str, tuple[str, str | None]] = {}
        for known in self._repo.iter_runs():
            if known.get(_SWEEP) == sweep:
                self._known[str(known.get(_RUN))] = known.hash, known.get(_DIGEST)

    def add(self, run: Tracked) -> bool:
        """Write a run; its digest comes last and says that it is whole."""
        from aim import Run

        place, digest = self._known.get(run.run_id, (None, None))
        if digest == run.digest:
            return False
        if place is not None:
            self._repo.delete_run(place)
        opened: Any = Run(
            repo=self._repo,
            experiment=f"{self._sweep}/{run.experiment}",
            system_tracking_interval=None,
            log_system_params=False,
            capture_terminal_logs=False,
        )
        opened[_SWEEP], opened[_RUN] = self._sweep, run.run_id
        opened.name = run.name
        opened["hparams"] = dict(run.settings)
        opened["links"] = dict(run.links)
        opened["status"] = run.error or run.status
        for epoch, values in run.history:
            for name, value in values.items():
                opened.track(value, name=name, step=epoch, epoch=epoch)
        last = run.history[-1][0] if run.history else 0
        for name, value in run.metrics.items():
            opened.track(value, name=f"final/{name}", step=last)
        opened[_DIGEST] = run.digest
        self._known[run.run_id] = opened.hash, run.digest
        opened.close()
        return True
