"""From a finished run to examples of the views that it mines."""

from __future__ import annotations

from typing import cast

import torch

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.mined_views import mine_views
from mtneuro_ray.engine.predict import load_model
from mtneuro_ray.engine.predictions import stored_split
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.storage.checkpoints import checkpoint_folder
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord


def write_views(record: RunRecord, out: Folder, store: CutoutStore) -> None:
    """Mine views with the encoder of a finished run, and write examples.

    Args:
        record: A final run of MYOW or MYOW-m.
        out: Output folder that holds its weights and takes the examples.
        store: Holds its voxels, or takes them.

    Raises:
        InputError: weights or voxels are missing.
    """
    run = RunSettings.load(record.settings, f"run {record.run_id}: settings")
    torch.set_num_threads(record.placement.get("threads", 1))
    model = cast(EncoderClassifier, load_model(run, checkpoint_folder(out, run), torch.device("cpu")))
    views.write(out, run.run_id, mine_views(run, model, stored_split(store, run, "train")))
