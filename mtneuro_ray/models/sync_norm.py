"""Batch norm over the batches of all workers together, on CPUs.

It is written by hand because torch.nn.SyncBatchNorm refuses tensors on a CPU, and training with several CPU workers has
to equal training with one. GPUs get SyncBatchNorm.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F


def synchronise_norms(module: nn.Module) -> nn.Module:
    """`module` with each batch norm replaced by one whose training statistics span all ranks.

    Parameters, buffers and the keys of the state dict stay those of nn.BatchNorm. Convert before
    DistributedDataParallel wraps the module: running statistics agree between ranks without its `broadcast_buffers`.
    """
    if any(parameter.is_cuda for parameter in module.parameters()):
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return converted
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        return GlobalBatchNorm.sharing(module)
    for name, child in module.named_children():
        setattr(module, name, synchronise_norms(child))
    return module


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm (Ioffe and Szegedy 2015) of (N, C, ...) over the samples of all ranks.

    In evaluation, without a process group and with one rank this is nn.BatchNorm, bit for bit. In training with more
    ranks, every rank has to run forward and backward, even with an empty batch (N = 0).
    """

    @classmethod
    def sharing(cls, norm: nn.modules.batchnorm._BatchNorm) -> GlobalBatchNorm:
        """One with the settings of `norm` that shares its parameters and buffers."""
        synchronised = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        synchronised.weight, synchronised.bias = norm.weight, norm.bias
        synchronised.running_mean, synchronised.running_var = norm.running_mean, norm.running_var
        synchronised.num_batches_tracked = norm.num_batches_tracked
        return synchronised.train(norm.training)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(features)
        count, mean, var = _global_moments(features)
        if count < 2:
            raise ValueError("batch norm in training needs more than one value per channel over all ranks")
        self._track(count, mean, var)
        normalised: Tensor = _Normalise.apply(features, mean, var + self.eps, self.weight, self.bias, count)
        return normalised

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch norm got {input.dim()} axes; accepted: (N, C, ...)")

    @torch.no_grad()
    def _track(self, count: int, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics; their variance is the unbiased one, as in nn.BatchNorm."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_((var * (count / (count - 1))).to(self.running_var.dtype), momentum)


def _as_channels(vector: Tensor, features: Tensor) -> Tensor:
    """(C,) shaped to broadcast over (N, C, ...)."""
    return vector.view(-1, *(1 for _ in features.shape[2:]))


def _reduced_axes(features: Tensor) -> list[int]:
    return [axis for axis in range(features.dim()) if axis != 1]


@torch.no_grad()
def _global_moments(features: Tensor) -> tuple[int, Tensor, Tensor]:
    """Number of values per channel over all ranks, their mean (C,) and biased variance (C,), the same on every rank.

    Ranks exchange (count, mean, squared deviations) rather than sums of squares, which cancel in float32 where the mean
    is large (Chan et al. 1983, the pairwise update).
    """
    axes, channels = _reduced_axes(features), features.shape[1]
    local = torch.zeros(1 + 2 * channels, dtype=torch.float64, device=features.device)
    if features.numel():
        values = features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
        var, mean = torch.var_mean(values, dim=axes, correction=0)
        local[0] = values.numel() // channels
        local[1 : 1 + channels], local[1 + channels :] = mean, var * local[0]
    gathered = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, local)
    counts, means, deviations = torch.split(torch.stack(gathered), [1, channels, channels], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    var = (deviations + counts * (means - mean).square()).sum(0) / total
    dtype = torch.promote_types(features.dtype, torch.float32)
    return int(total), mean.to(dtype), var.to(dtype)


class _Normalise(torch.autograd.Function):
    """weight (x - mean) / sqrt(var) + bias, with mean and var as functions of the samples of all ranks."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        mean: Tensor,
        var: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        count: int,
    ) -> Tensor:
        ctx.save_for_backward(features, mean, var, weight)
        ctx.count = count
        return F.batch_norm(features, mean, var, weight, bias, eps=0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The input gets weight (g - E[g] - y E[g y]) / std: y normalised, g the gradient, E the global mean.

        Weight and bias get the gradient of this rank's samples, as every other parameter does.
        """
        (grad,), (features, mean, var, weight) = grads, ctx.saved_tensors
        normalised = F.batch_norm(features, mean, var, eps=0)
        axes = _reduced_axes(grad)
        local = torch.stack([part.sum(axes, dtype=var.dtype) for part in (grad, grad * normalised)])
        sums = local.clone()
        dist.all_reduce(sums)
        mean_grad, mean_product = (_as_channels(part, grad) for part in sums / ctx.count)
        scale = torch.rsqrt(var) if weight is None else torch.rsqrt(var) * weight
        centred = (grad - mean_grad).sub_(normalised.mul_(mean_product)).mul_(_as_channels(scale, grad))
        bias_grad, weight_grad = (None, None) if weight is None else local
        return centred.to(grad.dtype), None, None, weight_grad, bias_grad, None
