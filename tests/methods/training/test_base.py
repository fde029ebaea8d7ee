import math

import pytest
import torch
from torch import nn

from mtneuro_ray.methods.training.base import build_optimizer, learning_rate
from tests.settings import network_settings

CPU = torch.device("cpu")


def rates(steps_per_epoch: int = 2, **network: object) -> list[float]:
    settings = network_settings(**{"learning_rate": 0.8, "epochs": 4, **network}).optimizer
    return [learning_rate(settings, step, steps_per_epoch) for step in range(settings.epochs * steps_per_epoch)]


def test_a_constant_rate_is_constant() -> None:
    assert rates() == [0.8] * 8


def test_the_warm_up_rises_to_the_rate_in_equal_steps() -> None:
    assert rates(warmup_epochs=2) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8])


def test_half_a_cosine_falls_to_zero() -> None:
    assert rates(lr_schedule="cosine") == pytest.approx([0.4 * (1 + math.cos(math.pi * n / 8)) for n in range(8)])
    assert rates(lr_schedule="cosine")[4] == pytest.approx(0.4)


def test_the_cosine_starts_after_the_warm_up() -> None:
    assert rates(lr_schedule="cosine", warmup_epochs=2) == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 0.8, 0.4 * (1 + math.sqrt(0.5)), 0.4, 0.4 * (1 - math.sqrt(0.5))]
    )


def test_sgd_and_adam_take_their_settings() -> None:
    parameters = [nn.Parameter(torch.zeros(1))]
    sgd = build_optimizer(
        network_settings(optimizer="SGD", opt_momentum=0.9, weight_decay=0.3).optimizer, parameters, CPU
    )
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["lr"], sgd.defaults["momentum"], sgd.defaults["weight_decay"]) == (0.01, 0.9, 0.3)
    adam = build_optimizer(network_settings(beta1=0.8, beta2=0.9).optimizer, parameters, CPU)
    assert isinstance(adam, torch.optim.Adam)
    assert (adam.defaults["lr"], adam.defaults["betas"]) == (0.01, (0.8, 0.9))
