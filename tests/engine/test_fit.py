from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mtneuro_ray.config.owners import EvaluationSettings
from mtneuro_ray.config.space import Mode
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.fit import Fit, Validation, global_batches
from mtneuro_ray.errors import TrainingError
from mtneuro_ray.methods.training.base import Steps
from mtneuro_ray.metrics.base import Metrics
from mtneuro_ray.rng import Indices, epoch_order


@given(st.integers(1, 60), st.integers(1, 70))
def test_batches_are_the_order_in_parts_of_which_only_the_last_differs_in_size(count: int, size: int) -> None:
    batches = global_batches(epoch_order(count, 0, 0), size)
    assert np.concatenate(batches).tolist() == epoch_order(count, 0, 0).tolist()
    assert all(len(batch) == size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= size + 1


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(7, 3, [3, 4]), (8, 3, [3, 3, 2]), (3, 2, [3]), (1, 2, [1]), (3, 1, [1, 1, 1]), (6, 3, [3, 3])],
)
def test_a_single_image_that_is_left_joins_the_batch_before(count: int, size: int, lengths: list[int]) -> None:
    assert [len(batch) for batch in global_batches(epoch_order(count, 0, 0), size)] == lengths


class Scripted(Steps):
    """Losses of four samples as they are written, one a step of two."""

    epochs, batch_size, count, seed = 3, 2, 4, 0

    def __init__(self, *losses: float) -> None:
        self.context, self.module = WorkerContext(), nn.Linear(1, 1)
        self.optimizer = torch.optim.SGD(self.module.parameters(), lr=0.5)
        self._losses = iter(losses)

    def rate(self, step: int, steps_per_epoch: int) -> float:
        return 0.1 * (step + 1)

    def step(self, indices: Indices, epoch: int, step: int, steps_per_epoch: int) -> dict[str, Tensor]:
        return {"loss": len(indices) * torch.tensor(next(self._losses))}


def test_the_history_has_the_mean_over_samples() -> None:
    progress = Fit(Scripted(1.0, 2.0, 3.0, 4.0, 6.0, 6.0)).run()
    assert progress.history == [{"epoch": n, "train/loss": loss} for n, loss in ((1, 1.5), (2, 3.5), (3, 6.0))]
    assert progress.first_loss == 1.0


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ((1.0, 2.0, 1.0, 1e8), "the loss is 5e+07 in epoch 2 at learning rate 0.4, from 1 in the first step"),
        ((3.0, 1e18), "the loss is 5e+17 in epoch 1 at learning rate 0.2, from 3 in the first step"),
        ((1.0, float("nan")), "the loss is nan in epoch 1 at learning rate 0.2"),
    ],
)
def test_a_loss_that_is_no_number_or_beyond_all_measure_ends_the_training(losses: tuple[float, ...], told: str) -> None:
    with pytest.raises(TrainingError) as raised:
        Fit(Scripted(*losses)).run()
    assert str(raised.value) == f"diverged: {told}"


def test_a_loss_that_starts_large_may_stay_so() -> None:
    assert Fit(Scripted(*[1e7, 5e12] * 3)).run().epoch == 3


@pytest.mark.parametrize(
    ("mode", "values", "best"), [("max", (0.1, 0.3, 0.2), 2), ("min", (0.3, 0.1, 0.2), 2), ("max", (None, 0.1, 0.3), 3)]
)
def test_the_best_epoch_is_the_one_that_is_kept(mode: Mode, values: tuple[float | None, ...], best: int) -> None:
    measured: Iterator[float | None] = iter(values)
    steps = Scripted(*[1.0] * 6)
    steps.signal = steps.module

    def measure(module: nn.Module) -> Metrics:
        value = next(measured)
        nn.init.constant_(steps.module.get_parameter("bias"), float(epoch := len(fit.progress.history) + 1))
        return {"score": float("nan") if value is None else value, "epoch": float(epoch)}

    fit = Fit(steps, Validation(EvaluationSettings(keep="best"), "score", mode, measure))
    progress = fit.run()
    assert progress.kept_weights is not None
    assert progress.kept_weights["bias"].item() == best
    assert fit.measured is not None
    assert fit.measured["epoch"] == best
