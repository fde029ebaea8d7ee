"""Optimizers and learning-rate schedules of the settings."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from mtneuro_ray.config.owners import OptimizerSettings


def build_optimizer(
    settings: OptimizerSettings, parameters: Iterable[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """SGD or Adam with these settings, fused into one kernel on a GPU."""
    rate, decay, fused = settings.learning_rate, settings.weight_decay, device.type == "cuda"
    if settings.name == "SGD":
        return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay, fused=fused)
    betas = (settings.beta1, settings.beta2)
    return torch.optim.Adam(parameters, lr=rate, betas=betas, weight_decay=decay, fused=fused)


def learning_rate(settings: OptimizerSettings, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a step: a linear rise over the warm-up epochs, then constant or half a cosine to zero."""
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.lr_schedule == "constant":
        return settings.learning_rate
    progress = (step - warmup) / (settings.epochs * steps_per_epoch - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
