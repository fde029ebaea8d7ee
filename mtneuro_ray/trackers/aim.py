"""Aim: runs in a repository of a folder; an experiment of Aim is `SWEEP/MODEL/TASK`."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

from mtneuro_ray.errors import MTNeuroError
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
# Beside Aim's own `.aim`: a file for each run that is whole, with its digest.
_DIGESTS = ".mtneuro"
# Aim's own hashes have as many digits.
_HASH_DIGITS = 24


def open_folder(place: str | None, out: Folder, sweep: str) -> Tracker:
    """The tracker on a folder."""
    return _Aim(local_folder(place, out, "aim"), sweep)


class _Aim(Tracker):
    """Gives each run a hash computed from the sweep and the run's id, so that Aim can't have a run twice.

    Nothing is asked of Aim's index, which is written by `aim up` and lags behind: the list of runs comes from the
    folder of the repository.
    """

    def __init__(self, root: Path, sweep: str) -> None:
        from aim import Repo

        root.mkdir(parents=True, exist_ok=True)
        # A repository has a version when it is whole. Making one opens its index, which `aim up` may hold.
        self._repo: Any = Repo(str(root), init=Repo.get_version(str(root)) == (0, 0))
        # Aim keeps the list of a path for half a second, in which another tracker of this process may have added runs.
        self._repo._all_run_hashes.cache_clear()
        self._listed = set(self._repo.list_all_runs())
        # Run() takes the hash of a run that exists, or draws one. It is told that each exists, and creates it.
        self._repo.run_exists = lambda run_hash: True
        self._digests = Folder(root / _DIGESTS)
        self._sweep = sweep

    def add(self, run: Tracked) -> bool:
        """Write a run; its digest comes last and says that it is whole."""
        from aim import Run

        place = hashlib.sha256(f"{self._sweep}/{run.run_id}".encode()).hexdigest()[:_HASH_DIGITS]
        if place in self._listed:
            if self._digests.exists(place) and self._digests.read(place).decode() == run.digest:
                return False
            if not self._repo.delete_run(place):
                raise MTNeuroError(f"aim: run {run.run_id} can't be replaced; close `aim up` and push again")
        self._listed.add(place)
        # That of a run that somebody deleted in Aim.
        self._digests.delete(place)
        opened: Any = Run(
            place,
            repo=self._repo,
            experiment=f"{self._sweep}/{run.experiment}",
            system_tracking_interval=None,
            log_system_params=False,
            capture_terminal_logs=False,
        )
        with closing(opened):
            _write(run, opened)
        self._digests.write(place, run.digest.encode())
        return True


def _write(run: Tracked, opened: Any) -> None:
    opened.name = run.name
    opened["hparams"] = dict(run.settings)
    opened["links"] = dict(run.links)
    opened["run"] = {"status": run.status, "error": run.error, "began_at": run.began_at, "ended_at": run.ended_at}
    for epoch, values in run.history:
        for name, value in values.items():
            opened.track(value, name=name, step=epoch, epoch=epoch)
    last = run.history[-1][0] if run.history else 0
    for name, value in run.metrics.items():
        opened.track(value, name=f"final/{name}", step=last)
