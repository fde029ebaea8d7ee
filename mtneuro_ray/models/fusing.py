"""Batch norms of a trained network, made a part of the convolutions before them: fewer passes over memory.

By hand, because torch fuses a norm that directly follows its convolution, and in the benchmark's U-Net an activation
stands between them.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

_TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


class _Bounds(nn.Module):
    """Keeps channels of images (B, C, ..., X) between a `lowest` and a `highest` value, both (C,), in place."""

    def __init__(self, lowest: Tensor, highest: Tensor) -> None:
        super().__init__()
        self.lowest: Tensor
        self.highest: Tensor
        self.register_buffer("lowest", lowest)
        self.register_buffer("highest", highest)
        self._only_lowest = bool(highest.isinf().all())
        self._rows: tuple[Tensor, Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        lowest, highest = self._for(images)
        return torch.maximum(images, lowest, out=images) if self._only_lowest else images.clamp_(lowest, highest)

    def _for(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The bounds of each value of a row: in channels-last, loops over rows are faster than over a few channels."""
        if self._rows is None or self._rows[0].shape[-1] != images.shape[-1]:
            layout = torch.channels_last if images.ndim == 4 else torch.channels_last_3d
            one = [1] * (images.ndim - 3)
            lowest, highest = (
                bound.view(1, -1, *one, 1).expand(1, -1, *one, images.shape[-1]).contiguous(memory_format=layout)
                for bound in (self.lowest, self.highest)
            )
            self._rows = lowest, highest
        return self._rows


def fuse_norms(module: nn.Module) -> None:
    """Make a batch norm a part of the convolution that it follows in a `Sequential`, directly or after a ReLU.

    The module must be in evaluation mode, and computes the same but for rounding.
    """
    for child in module.modules():
        if type(child).forward is not nn.Sequential.forward:
            continue
        for last in range(1, len(child)):  # type: ignore[arg-type]
            _fuse(child, last)  # type: ignore[arg-type]


def _fuse(layers: nn.Sequential, last: int) -> None:
    """Fuse the layer `last`, where it is a norm that can be; layers keep their places."""
    norm, before = layers[last], layers[last - 1]
    has_relu = type(before) is nn.ReLU and last > 1
    convolution = layers[last - 2] if has_relu else before
    if not isinstance(norm, _NORMS) or not isinstance(convolution, _CONVOLUTIONS):
        return
    mean, variance, is_transposed = norm.running_mean, norm.running_var, isinstance(convolution, _TRANSPOSED)
    hooked = any(each._forward_hooks or each._forward_pre_hooks for each in (norm, before, convolution))
    if mean is None or variance is None or hooked or (is_transposed and convolution.groups > 1):
        return
    # A copy: another part of the network may use the same convolution.
    fused = copy.deepcopy(convolution)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias, is_transposed
    )
    layers[last] = nn.Identity()
    layers[last - 1 - has_relu] = fused
    if has_relu:
        # a * relu(x) + b is a * x + b, but at least b for a > 0 and at most b for a < 0.
        nothing = torch.zeros_like(mean)
        scale = torch.ones_like(mean) if norm.weight is None else norm.weight.detach()
        shift = nothing if norm.bias is None else norm.bias.detach()
        shift = shift - mean * scale * torch.rsqrt(variance + norm.eps)
        infinite = torch.full_like(mean, torch.inf)
        layers[last - 1] = _Bounds(torch.where(scale < 0, -infinite, shift), torch.where(scale > 0, infinite, shift))
