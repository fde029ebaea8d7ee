"""Dropout whose masks do not depend on how a global batch is divided among workers.

It is written by hand because torch.nn.Dropout draws from one stream, so its masks depend on the division and on the
device. Here each layer draws the mask of the whole global batch on the CPU, from a generator of its own, and uses the
rows that this worker holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtneuro_ray.rng import layer_seed


@dataclass(frozen=True, slots=True)
class DropoutKey:
    """Masks of one forward pass: those of a run's seed and optimizer step, from row `start` of `total` samples.

    `start` is the place in the global batch of the first sample that this worker holds.
    """

    seed: int
    step: int
    start: int
    total: int


class GlobalDropout(nn.Module):
    """Element-wise dropout on (B, ...) features (Srivastava et al. 2014), scaled by 1/(1-p) in training.

    Identity in evaluation and where `p` is 0.

    Raises:
        ValueError: `p` is outside [0, 1).
        RuntimeError: training forward without `set_dropout_key`, or with more rows than the key's batch has.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout probability is {p}; accepted: 0 <= p < 1")
        self.p = p
        self.index = 0
        self.key: DropoutKey | None = None

    def forward(self, features: Tensor) -> Tensor:
        """(B, ...) -> the same shape."""
        if not self.training or self.p == 0:
            return features
        dropped: Tensor = features * self._scaled_mask(features)
        return dropped

    def _mask_shape(self, features: Tensor) -> tuple[int, ...]:
        return tuple(features.shape[1:])

    # The key changes at every step: inside a compiled graph it would be a constant and recompile each time.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _scaled_mask(self, features: Tensor) -> Tensor:
        key, rows = self.key, len(features)
        if key is None:
            raise RuntimeError("dropout in training needs set_dropout_key(model, key) before each step")
        if key.start + rows > key.total:
            raise RuntimeError(f"rows {key.start} to {key.start + rows} lie outside a batch of {key.total}")
        generator = torch.Generator().manual_seed(layer_seed(key.seed, key.step, self.index))
        draws = torch.rand(key.total, *self._mask_shape(features), generator=generator)
        kept = draws[key.start : key.start + rows] >= self.p
        return kept.to(features.device, features.dtype) / (1 - self.p)


class GlobalChannelDropout(GlobalDropout):
    """Dropout of whole channels of (B, C, Y, X) or (B, C, Z, Y, X) features (Tompson et al. 2015)."""

    def _mask_shape(self, features: Tensor) -> tuple[int, ...]:
        return (features.shape[1], *(1 for _ in features.shape[2:]))


def set_dropout_key(model: nn.Module, key: DropoutKey) -> None:
    """Let every dropout layer of `model` (wrapped or not) draw its next masks from `key`.

    Layers are told apart by their order in the module tree, which is the same on every worker.
    """
    layers = (module for module in model.modules() if isinstance(module, GlobalDropout))
    for index, layer in enumerate(layers):
        layer.index, layer.key = index, key
