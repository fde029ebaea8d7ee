"""Where runs leave their weights."""

from __future__ import annotations

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.engine.files import is_trained
from mtneuro_ray.storage import Folder


def checkpoint_folder(out: Folder, run: RunSettings) -> Folder:
    """Where the checkpoints and the final weights of a run lie, for all runs that need the same training."""
    return out / "checkpoints" / run.train_id


def has_weights(out: Folder, run: RunSettings) -> bool:
    """Whether the training of a run is finished and has left its weights."""
    return is_trained(checkpoint_folder(out, run))
