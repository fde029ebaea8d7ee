"""From a network's settings to its model."""

from __future__ import annotations

from typing import cast

from torch import nn

from mtneuro_ray.config.network import NetworkSettings


def build_model(network: NetworkSettings) -> nn.Module:
    """The model of a network's settings, with random weights that `torch.manual_seed` alone determines.

    Raises:
        InputError: the library that provides the model refuses the settings.
    """
    return cast(nn.Module, network.declaration.resolve()(network.model, network.classes))
