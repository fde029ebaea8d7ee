"""Optimizers and learning-rate schedules of the settings."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from mtneuro_ray.config.network import NetworkSettings


def build_optimizer(
    network: NetworkSettings, parameters: Iterable[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """SGD or Adam with the network's settings, fused into one kernel on a GPU."""
    fused = device.type == "cuda"
    if network.optimizer.name == "SGD":
        return torch.optim.SGD(
            parameters,
            lr=network.optimizer.learning_rate,
            momentum=network.optimizer.momentum,
            weight_decay=network.optimizer.weight_decay,
            fused=fused,
        )
    return torch.optim.Adam(
        parameters,
        lr=network.optimizer.learning_rate,
        betas=(network.optimizer.beta1, network.optimizer.beta2),
        weight_decay=network.optimizer.weight_decay,
        fused=fused,
    )


def learning_rate(network: NetworkSettings, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step: a linear rise over the warm-up epochs, then constant or half a cosine to zero."""
    warmup = network.optimizer.warmup_epochs * steps_per_epoch
    if step < warmup:
        return network.optimizer.learning_rate * (step + 1) / warmup
    if network.optimizer.lr_schedule == "constant":
        return network.optimizer.learning_rate
    progress = (step - warmup) / (network.optimizer.epochs * steps_per_epoch - warmup)
    return network.optimizer.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
