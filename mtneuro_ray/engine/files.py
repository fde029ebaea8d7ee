"""Files that a training leaves in its folder. No torch: a driver only asks whether they are there."""

from __future__ import annotations

from mtneuro_ray.storage import Folder

LAST = "last.pt"
MODEL = "model.pt"
TRAINED = "trained.json"


def is_trained(folder: Folder | None) -> bool:
    """Whether a training has left its weights here."""
    # TRAINED is written last.
    return folder is not None and folder.exists(TRAINED) and folder.exists(MODEL)
