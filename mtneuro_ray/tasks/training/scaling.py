"""Grey values as inputs of a model, in torch: `data.normalization.Scaling` applied to a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtneuro_ray.data.normalization import ACCEPTED_FINITE, Scaling
from mtneuro_ray.errors import InputError

_UNSIGNED = {"uint16": torch.uint16, "uint32": torch.uint32}
# Types whose values have more digits than float32.
_WIDE = ("uint32", "int32", "float64")


def scale(images: Tensor, scaling: Scaling, out: Tensor, where: str) -> Tensor:
    """Write the inputs that grey values become to `out` (B, C, ...) float32, and return it.

    Args:
        images: (B, C, ...) of the scaling's type; unsigned integers of 16 and 32 bits may come as signed ones of the
            same bits.
        scaling: The scaling.
        out: Tensor of the images' shape.
        where: Task, for errors.

    Raises:
        InputError: the images are of another type or number of channels, or hold NaN or infinity, which nothing fills.
    """
    images = _typed(images, scaling, where)
    wide = out if scaling.dtype not in _WIDE else torch.empty_like(out, dtype=torch.float64)
    wide.copy_(images)
    if images.is_floating_point():
        if scaling.fill is None and not torch.isfinite(images).all():
            raise InputError(f"{where}: image_chan: holds NaN or infinity; {ACCEPTED_FINITE}")
        if scaling.fill is not None:
            wide.nan_to_num_(nan=scaling.fill, posinf=scaling.fill, neginf=scaling.fill)
    if any(scaling.shift):
        wide.sub_(_each(scaling.shift, wide))
    wide.mul_(_each(scaling.factor, wide))
    if scaling.clips:
        wide.clamp_(0, 1)
    if wide is not out:
        out.copy_(wide)
    if scaling.least_deviation is not None and len(out):
        std, mean = torch.std_mean(out.flatten(2), dim=2, correction=0)
        each = (*std.shape, *(1 for _ in out.shape[2:]))
        # A flat image has no deviation to scale by.
        least = torch.tensor(scaling.least_deviation, dtype=std.dtype, device=std.device)
        out.sub_(mean.view(each)).div_(torch.maximum(std, least).view(each))
    return out


def _typed(images: Tensor, scaling: Scaling, where: str) -> Tensor:
    name = str(images.dtype).removeprefix("torch.")
    unsigned = _UNSIGNED.get(scaling.dtype)
    if unsigned is not None and name == scaling.dtype.removeprefix("u"):
        images, name = images.view(unsigned), scaling.dtype
    if name != scaling.dtype or images.shape[1] != len(scaling.factor):
        raise InputError(
            f"{where}: image_chan: {images.shape[1]} channel(s) of {name}; accepted: {len(scaling.factor)} of "
            f"{scaling.dtype}, as the network is trained on"
        )
    return images


def _each(values: tuple[float, ...], like: Tensor) -> Tensor | float:
    """One value for each channel of (B, C, ...), or a number where all are equal."""
    if len(set(values)) == 1:
        return values[0]
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(-1, *(1 for _ in like.shape[2:]))


def with_scaling(model: nn.Module, scaling: Scaling | None) -> nn.Module:
    """The model, which remembers how its inputs are made."""
    model.scaling = scaling  # type: ignore[assignment]
    return model


def scaling_of(model: nn.Module) -> Scaling | None:
    """How the inputs of a model from a finished run are made; None for bytes, as in runs of earlier versions."""
    found = model.__dict__.get("scaling")
    return found if isinstance(found, Scaling) else None
