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
    if network.optimizer == "SGD":
        return torch.optim.SGD(
            parameters,
            lr=network.learning_rate,
            momentum=network.opt_momentum,
            weight_decay=network.weight_decay,
            fused=fused,
        )
    return torch.optim.Adam(
        parameters,
        lr=network.learning_rate,
        betas=(network.beta1, network.beta2),
        weight_decay=network.weight_decay,
        fused=fused,
    )


def learning_rate(network: NetworkSettings, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step: a linear rise over the warm-up epochs, then constant or half a cosine to zero."""
    warmup = network.warmup_epochs * steps_per_epoch
    if step < warmup:
        return network.learning_rate * (step + 1) / warmup
    if network.lr_schedule == "constant":
        return network.learning_rate
    progress = (step - warmup) / (network.epochs * steps_per_epoch - warmup)
    return network.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
