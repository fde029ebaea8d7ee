"""Weights & Biases, offline: folders that `wandb sync` uploads; projects are sweeps, groups are experiments."""

from __future__ import annotations

import shutil
from pathlib import Path

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.trackers.base import Tracked, Tracker, TrackerDeclaration
from mtneuro_ray.trackers.tensorboard import local_folder

WANDB = TrackerDeclaration(
    name="wandb",
    summary="Weights & Biases, offline; `wandb sync` uploads, each run under its own id",
    build="mtneuro_ray.trackers.wandb:open_folder",
    packages=("wandb",),
    places="a folder on this machine; OUT/trackers/wandb by default",
)
_DIGEST = "digest"


def open_folder(place: str | None, out: Folder, sweep: str) -> Tracker:
    """The tracker on a folder."""
    return _Wandb(local_folder(place, out, "wandb"), sweep)


class _Wandb(Tracker):
    """Keeps each run in `PLACE/wandb/offline-run-TIME-RUN_ID`."""

    def __init__(self, root: Path, sweep: str) -> None:
        self._root, self._sweep = root, sweep
        root.mkdir(parents=True, exist_ok=True)

    def add(self, run: Tracked) -> bool:
        """Write the offline folder of a run; its digest comes last and says that it is whole."""
        import wandb

        folders = list((self._root / "wandb").glob(f"offline-run-*-{run.run_id}"))
        if any((folder / _DIGEST).is_file() and (folder / _DIGEST).read_text() == run.digest for folder in folders):
            return False
        for folder in folders:
            shutil.rmtree(folder)
        opened = wandb.init(
            mode="offline",
            dir=str(self._root),
            id=run.run_id,
            name=run.name,
            project=self._sweep,
            group=run.experiment,
            job_type=str(run.settings.get("role")),
            config=dict(run.settings),
            notes="\n".join(f"{name}: {address}" for name, address in run.links.items()),
            tags=[run.status],
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True),
            reinit="finish_previous",
        )
        for epoch, values in run.history:
            opened.log({"epoch": epoch, **values}, step=epoch)
        opened.summary.update({f"final/{name}": value for name, value in run.metrics.items()})
        if run.error:
            opened.summary["error"] = run.error
        folder = Path(opened.dir).parent
        opened.finish(exit_code=int(run.status == "error"))
        (folder / _DIGEST).write_text(run.digest)
        return True
