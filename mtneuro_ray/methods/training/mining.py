"""Mined views: nearest neighbours of a view among crops of other images (Azabou et al. 2021, section 2)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtneuro_ray.methods.training.self_supervised import upcast
from mtneuro_ray.rng import Indices


def draw_pool(random: np.random.Generator, count: int, batch: Indices, ratio: float) -> Indices:
    """Distinct samples whose crops are searched, `ratio` for each image of the batch and two at least.

    Samples outside the batch come first; those of the batch fill what is missing, up to all `count` of the split.
    """
    size = min(count, max(2, math.ceil(ratio * len(batch))))
    others = np.ones(count, np.bool_)
    others[batch] = False
    outside = np.flatnonzero(others)
    pool = random.choice(outside, min(size, len(outside)), replace=False)
    return np.concatenate([pool, random.choice(batch, size - len(pool), replace=False)])


def choose_neighbours(
    queries: Tensor, query_samples: Tensor, pool: Tensor, pool_samples: Tensor, choices: Tensor, neighbours: int
) -> Tensor:
    """Row of the pool that is each query's mined view: one of the nearest by cosine, never of its own sample.

    Args:
        queries: (Q, D) representations of views.
        query_samples: (Q,) int64, the samples they are views of.
        pool: (P, D) representations of crops, P > 1.
        pool_samples: (P,) int64, each once.
        choices: (Q,) uniform in [0, 1): which of the nearest.
        neighbours: how many are the nearest; P - 1 at most.

    Returns:
        (Q,) int64 rows of the pool.
    """
    # Autocast would round the cosines, and with them the order of near ones.
    with torch.autocast(queries.device.type, enabled=False):
        cosines = F.normalize(upcast(queries), dim=1) @ F.normalize(upcast(pool), dim=1).T
    own = query_samples.unsqueeze(1) == pool_samples
    nearest = cosines.masked_fill(own, -torch.inf).topk(min(neighbours, len(pool) - 1), dim=1).indices
    chosen = (choices * nearest.shape[1]).long().unsqueeze(1)
    return nearest.gather(1, chosen).squeeze(1)
