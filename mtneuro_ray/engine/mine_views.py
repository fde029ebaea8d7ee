"""Nearest crops in the feature space of a trained encoder (the paper's Figure A3)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data.embeddings import Vectors
from mtneuro_ray.data.mined_views import Views
from mtneuro_ray.data.resident import ResidentSplit, parts
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.data.shown import shown
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.finished import opened, stored_split
from mtneuro_ray.errors import InputError
from mtneuro_ray.methods.myow import MyowMergedSettings
from mtneuro_ray.methods.training.myow import draw_pool
from mtneuro_ray.methods.training.views import NUMBERS, ViewDraws, cut_views
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.rng import Indices, Purpose, generator
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.tasks.training.base import Task, build_task
from mtneuro_ray.tasks.training.scaling import scaling_of

_VIEWS = 2
# Crops of the pool that are kept: the mined one, and others down to the least similar.
_SHOWN = 5


def write_views(record: RunRecord, out: Folder, store: CutoutStore) -> None:
    """Mine views with the encoder of a finished run, and write examples to OUT; missing voxels are read into the store.

    Raises:
        InputError: the method mines no views, or weights or voxels are missing.
    """
    run, model, _ = opened(record, out, gpu=False, threads=0)
    if not run.network.method_declaration.mines_views:
        raise InputError(f"run {record.run_id}: {run.network.method.name} mines no views; accepted: a run of MYOW")
    arrays = stored_split(store, run, "train")
    views.write(out, run.run_id, mine_views(run, cast(EncoderClassifier, model), arrays))


@torch.no_grad()
def mine_views(run: RunSettings, model: EncoderClassifier, arrays: SplitArrays) -> Views:
    """Views of the middle image of each region, and their mined views in a pool of a step's size.

    In training the target mines, with the batch norms of its batch; here the trained encoder does, on the CPU. `arrays`
    is the training split.
    """
    settings, seed = cast(MyowMergedSettings, run.network.method), run.network.seed
    split = ResidentSplit(arrays, torch.device("cpu"))
    of_regions = [np.flatnonzero(arrays.regions == region) for region in np.unique(arrays.regions)]
    chosen = np.array([own[len(own) // 2] for own in of_regions])
    random = generator(seed, 0, Purpose.MINING)
    size = math.ceil(settings.pool_ratio * run.network.training.batch_size)
    pool = draw_pool(random, len(split), chosen, size / len(chosen))
    shape = (arrays.images.shape[-2], arrays.images.shape[-1])
    draws = ViewDraws.of(generator(seed, 0, Purpose.VIEWS).random((_VIEWS, len(chosen), NUMBERS)), shape, settings)
    pool_draws = ViewDraws.of(random.random((1, len(pool), NUMBERS)), shape, settings)
    cut, crops = (cut_views(split.gather(own).images, of) for own, of in ((chosen, draws), (pool, pool_draws)))
    task = build_task(run, scaling=scaling_of(model))
    cosines = _features(task, model, cut[: len(chosen)]) @ _features(task, model, crops).T
    ranks, kept = _ranked(cosines, chosen, pool)
    # The same crops as pictures.
    grey = shown(arrays.images)
    pictures = ResidentSplit(replace(arrays, images=grey[:, None]), torch.device("cpu"))
    cut, crops = (cut_views(pictures.gather(own).images, of) for own, of in ((chosen, draws), (pool, pool_draws)))
    names = np.array(arrays.region_names)
    return Views(
        regions=names[arrays.regions[chosen]],
        images=grey[chosen, 0],
        corners=draws.corners.transpose(0, 1).numpy(),
        views=cut.view(_VIEWS, len(chosen), *cut.shape[-2:]).transpose(0, 1).numpy(),
        pool_regions=names[arrays.regions[pool]][ranks],
        pool=crops[:, 0, 0].numpy()[ranks],
        cosines=kept,
        pool_size=np.array([len(pool)]),
    )


def _features(task: Task, model: EncoderClassifier, crops: Tensor) -> Tensor:
    """(N, F) of length 1."""
    found = [model.encoder(task.inputs(crops[start:stop])) for start, stop in parts(0, len(crops), crops[0].numel())]
    return F.normalize(torch.cat(found).float(), dim=1)


def _ranked(cosines: Tensor, chosen: Indices, pool: Indices) -> tuple[Indices, Vectors]:
    """Rows of the pool for each image, (R, P), the nearest first, then others evenly spread; and their cosines."""
    own = torch.from_numpy(chosen).unsqueeze(1) == torch.from_numpy(pool)
    values, order = cosines.masked_fill(own, -torch.inf).sort(dim=1, descending=True)
    others = len(pool) - int(own.sum(1).max())
    ranks = np.unique(np.linspace(0, others - 1, min(_SHOWN, others)).round().astype(np.int64))
    return order[:, ranks].numpy(), values[:, ranks].numpy()
