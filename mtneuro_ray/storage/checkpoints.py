"""Where runs leave their weights, and the names of the files. No torch: a driver only asks whether they are there."""

from __future__ import annotations

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.storage.folder import Folder

LAST = "last.pt"
MODEL = "model.pt"
TRAINED = "trained.json"


def checkpoint_folder(out: Folder, run: RunSettings) -> Folder:
    """Folder of the checkpoints and final weights of a run, shared by all runs that need the same training."""
    return out / "checkpoints" / run.train_id


def is_trained(folder: Folder | None) -> bool:
    """Whether a finished training has left its weights in the folder."""
    # TRAINED is written last.
    return folder is not None and folder.exists(TRAINED) and folder.exists(MODEL)


def has_weights(out: Folder, run: RunSettings) -> bool:
    """Whether the training of a run is finished and has left its weights."""
    return is_trained(checkpoint_folder(out, run))
