"""Where a model lies and in which arithmetic it computes."""

from __future__ import annotations

import torch
from torch import nn

from mtneuro_ray.config.network import NetworkSettings


def autocast(network: NetworkSettings, device: torch.device) -> torch.autocast:
    """Arithmetic of a forward pass: bf16 where the network says so, or says "auto" and there is a GPU."""
    precision = network.compute.precision
    reduced = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=reduced)


def placed(module: nn.Module, network: NetworkSettings, device: torch.device) -> nn.Module:
    """The model on its device, in the memory format that its convolutions are fastest in."""
    module = module.to(device)
    return module.to(memory_format=torch.channels_last) if network.model.dim == 2 else module
