"""How far predictions are from their targets, and whether features still differ."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def widened(tensor: Tensor) -> Tensor:
    """In float32 at least: what autocast gives is too coarse for a cosine."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def prediction_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """2 - 2 cos of each image, the sum over its views (Grill et al. 2020, equation 2): 2 (V, B, D) -> (B,)."""
    cosines = F.cosine_similarity(widened(predictions), widened(targets), dim=-1)
    return (2 - 2 * cosines).sum(0)


def feature_std(features: Tensor) -> Tensor:
    """Standard deviation over images of their features (N, D) at length 1, the mean over dimensions: a scalar.

    About 1 / sqrt(D) where directions are spread evenly, 0 where the encoder has collapsed to one.
    """
    return F.normalize(widened(features), dim=-1).std(0, correction=0).mean()
