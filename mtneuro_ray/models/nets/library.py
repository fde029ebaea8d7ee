"""Networks of segmentation_models_pytorch (Task 2); the library is imported when used, which takes seconds."""

from __future__ import annotations

from difflib import get_close_matches
from typing import cast

import torch
from torch import nn

from mtneuro_ray.errors import InputError
from mtneuro_ray.models import MODELS
from mtneuro_ray.models.dropout import GlobalChannelDropout, GlobalDropout
from mtneuro_ray.models.library import LibrarySettings

_DROPOUT: dict[type[nn.Module], type[GlobalDropout]] = {
    nn.Dropout: GlobalDropout,
    nn.Dropout2d: GlobalChannelDropout,
}
# Errors by which the library and timm refuse an encoder. Their messages are passed on.
_REFUSALS = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def build(settings: LibrarySettings, classes: int) -> nn.Module:
    """One of the library's networks with its defaults and random weights: (B, C, Y, X) -> (B, classes, Y, X).

    The masks of its dropout come from `set_dropout_key`. Parameters that the network has and does not use, such as
    the last stages of PSPNet's encoder, are frozen: DistributedDataParallel waits for the gradient of every other.

    Raises:
        InputError: the library has no such encoder, or refuses it for this network.
    """
    check_encoder_name(settings.encoder_name)
    try:
        network = library_network(settings, classes)
        smallest = MODELS.find(settings.name).size_rule(settings).smallest
        _freeze_unused(network, torch.zeros(1, settings.in_channels, smallest, smallest), classes)
    except _REFUSALS as error:
        reason = str(error) or type(error).__name__
        raise InputError(
            f"encoder_name: {settings.name} can't have {settings.encoder_name}: {reason}; accepted: another one"
        ) from None
    _replace_dropout(network)
    return network


def library_network(settings: LibrarySettings, classes: int, weights: str | bool | None = None) -> nn.Module:
    """The network as the library builds it, with these weights of its encoder, which it downloads unless cached."""
    import segmentation_models_pytorch as smp

    network = getattr(smp, settings.name)(
        encoder_name=settings.encoder_name, encoder_weights=weights, in_channels=settings.in_channels, classes=classes
    )
    return cast(nn.Module, network)


def check_encoder_name(encoder_name: str) -> None:
    """Check that the library has an encoder.

    Raises:
        InputError: it has not; names that are like it are given.
    """
    import timm
    from segmentation_models_pytorch.encoders import get_encoder_names

    if encoder_name in get_encoder_names():
        return
    of_timm = encoder_name.startswith("tu-")
    if of_timm and timm.is_model(encoder_name.removeprefix("tu-")):
        return
    names = [f"tu-{name}" for name in timm.list_models()] if of_timm else get_encoder_names()
    close = get_close_matches(encoder_name, names) or ["resnet18", "efficientnet-b7"]
    raise InputError(
        f"encoder_name: {encoder_name!r} is no encoder of segmentation_models_pytorch; accepted: such as "
        f"{', '.join(close)} (all: segmentation_models_pytorch.encoders.get_encoder_names(), or tu- and a name of timm)"
    )


def _freeze_unused(network: nn.Module, image: torch.Tensor, classes: int) -> None:
    """Freeze the parameters that the logits of an image do not depend on; leaves `network` in training mode.

    Raises:
        ValueError: the logits do not have the size of the image.
    """
    parameters = list(network.parameters())
    # In evaluation nothing is drawn, and batch norms keep their statistics.
    logits = network.eval()(image)
    if logits.shape != (len(image), classes, *image.shape[2:]):
        raise ValueError(f"logits of {tuple(logits.shape)} from an image of {tuple(image.shape)}")
    gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)
    network.train()


def _replace_dropout(module: nn.Module) -> None:
    for name, child in module.named_children():
        replacement = _DROPOUT.get(type(child))
        if replacement is not None:
            setattr(module, name, replacement(cast(nn.Dropout, child).p))
        else:
            _replace_dropout(child)
