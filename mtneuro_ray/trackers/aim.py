"""Aim: runs in a repository of a folder; an experiment of Aim is `SWEEP/MODEL/TASK`."""

from __future__ import annotations

import hashlib
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
_DIGEST = "mtneuro_digest"


def open_folder(place: str | None, out: Folder, sweep: str) -> Tracker:
    """The tracker on a folder."""
    return _Aim(local_folder(place, out, "aim"), sweep)


class _Aim(Tracker):
    """Keeps each run under a hash of sweep and run id."""

    def __init__(self, root: Path, sweep: str) -> None:
        from aim import Repo

        root.mkdir(parents=True, exist_ok=True)
        self._repo: Any = Repo.from_path(str(root), init=True)
        self._sweep = sweep

    def add(self, run: Tracked) -> bool:
        """Write a run; its digest comes last and says that it is whole."""
        from aim import Run

        # Aim's own hashes have 24 digits.
        place = hashlib.sha256(f"{self._sweep}/{run.run_id}".encode()).hexdigest()[:24]
        known = self._repo.get_run(place)
        if known is not None:
            if known.get(_DIGEST) == run.digest:
                return False
            self._repo.delete_run(place)
        opened: Any = Run(
            run_hash=place,
            repo=self._repo,
            experiment=f"{self._sweep}/{run.experiment}",
            system_tracking_interval=None,
            log_system_params=False,
            capture_terminal_logs=False,
        )
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
        opened.close()
        return True
