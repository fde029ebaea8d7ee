"""Which function builds the network of which name."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import cast

from torch import nn

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.models.architectures import ModelName

MODELS: dict[ModelName, str] = {
    "ResNet-18": "mtneuro_ray.models.resnet:resnet18_classifier",
    "PCA": "mtneuro_ray.models.decomposition:pca_classifier",
    "NMF": "mtneuro_ray.models.decomposition:nmf_classifier",
    "UNet": "mtneuro_ray.models.unet:UNet",
    **dict.fromkeys(("MAnet", "FPN", "UnetPlusPlus", "PAN", "PSPNet"), "mtneuro_ray.models.library:segmentation_model"),
    "VNetLight": "mtneuro_ray.models.vnet_light:VNetLight",
    "HighResNet": "mtneuro_ray.models.high_res_net:HighResNet",
}
"""Name in a network file -> `module:callable`. Modules are imported when a network of theirs is built."""


def build_model(network: NetworkSettings) -> nn.Module:
    """The model of a network's settings, with random weights that `torch.manual_seed` alone determines.

    The parameters of a builder are the keys of the settings that it heeds.

    Raises:
        InputError: the library that provides the model refuses the settings.
    """
    module, name = MODELS[network.model].split(":")
    builder = getattr(import_module(module), name)
    return cast(nn.Module, builder(**{key: getattr(network, key) for key in signature(builder).parameters}))
