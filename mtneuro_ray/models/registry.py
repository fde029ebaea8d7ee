"""Which function builds the network of which name."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from torch import nn

from mtneuro_ray.errors import InputError

MODELS: dict[str, str] = {
    "ResNet-18": "mtneuro_ray.models.resnet:resnet18_classifier",
    "UNet": "mtneuro_ray.models.unet:UNet",
}
"""Name in a network file -> `module:callable`. Modules are imported when a network of theirs is built."""


def build_model(name: str, **settings: Any) -> nn.Module:
    """The network called `name`, with the keyword arguments of its builder as `settings`.

    Initial weights are determined by `torch.manual_seed` alone.

    Raises:
        InputError: no network has this name.
        TypeError: the builder does not know a setting.
    """
    if name not in MODELS:
        raise InputError(f"model: no network is called {name!r}; accepted: {', '.join(sorted(MODELS))}")
    module, builder = MODELS[name].split(":")
    return cast(nn.Module, getattr(import_module(module), builder)(**settings))
