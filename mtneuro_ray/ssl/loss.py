"""How far predictions are from their targets, and whether features still differ."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def prediction_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """2 - 2 cos of each image, the sum over its views (Grill et al. 2020, equation 2): 2 (V, B, D) -> (B,)."""
    cosines = F.cosine_similarity(predictions.float(), targets.float(), dim=-1)
    return (2 - 2 * cosines).sum(0)


def feature_std(features: Tensor) -> Tensor:
    """Standard deviation over images of their features (N, D) at length 1, the mean over dimensions: a scalar.

    About 1 / sqrt(D) where directions are spread evenly, 0 where the encoder has collapsed to one.
    """
    return F.normalize(features.float(), dim=-1).std(0, correction=0).mean()
