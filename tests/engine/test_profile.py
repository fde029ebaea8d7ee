from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch

from mtneuro_ray.capacity.costs import Workload
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.engine.profile import endless_steps, measure, random_splits
from mtneuro_ray.methods.training.myow import Myow
from mtneuro_ray.methods.training.supervised import Supervised
from mtneuro_ray.models import MODELS
from tests.engine.data import run_of, small_encoder_classifier

SSL: dict[str, Any] = {"classes": 2, "ssl": {"epochs": 20, "projector_hidden_size": 8, "projector_output_size": 4}}
TWO = {"classes": ["a", "b"]}


def _workload(run: RunSettings) -> RunSettings:
    return Workload.of(run, on_gpu=False).run


RUNS = {
    "segmentation": run_of("segmentation", keep="best"),
    "classification": run_of("classification"),
    "mixup": run_of("classification", mixup_probability=0.1),
    "myow": run_of("classification", task=TWO, method="myow", dropout=0.2, **SSL),
    "PCA": run_of("classification", task=TWO, model="PCA", method="decomposition", dropout=0.2, classes=2),
}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type]]:
    """The engine's own steps as they are taken."""
    taken: list[type] = []
    for kind in (Supervised, Myow):

        def step(self: Any, *arguments: Any, own: Any = kind.step) -> Any:
            taken.append(type(self))
            return own(self, *arguments)

        monkeypatch.setattr(kind, "step", step)
    yield taken
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", RUNS)
def test_every_method_is_measured_by_the_steps_that_train_it(
    name: str, counted: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "myow":
        small = replace(MODELS.find("ResNet-18"), build=small_encoder_classifier)
        monkeypatch.setitem(MODELS._found, "ResNet-18", small)
    run = _workload(RUNS[name])
    data = random_splits(run, 6 if name == "PCA" else 0)
    found = measure(run, data, WorkerContext(), steps=3, seconds=0.0)
    own = {"myow": {"step_s", "head_image_s"}, "PCA": {"fit_s", "head_image_s"}}.get(name, {"step_s"})
    assert found.keys() == {"setup_s", "image_s", *own}
    assert found["image_s"] > 0
    # One that is set up with, two of warm-up, three that are timed.
    assert counted == ([] if name == "PCA" else [Myow if name == "myow" else Supervised] * 6)


def test_random_data_have_the_shape_and_classes_of_a_run() -> None:
    run = _workload(run_of("segmentation"))
    train = random_splits(run)["train"]
    assert train.images.shape == (6, 1, 1, 16, 16)
    assert train.masks is not None
    assert train.masks.shape == (6, 1, 16, 16)
    assert set(train.masks.ravel()) == {0, 1, 2}
    assert len(random_splits(run, 9)["train"]) == 9


def test_steps_go_on_and_change_the_weights() -> None:
    class Fit:
        """As much of a fit as is asked for."""

        context = WorkerContext()
        count, batch_size = 7, 3
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)

        def __init__(self) -> None:
            self.taken: list[tuple[int, int, int]] = []

        def step(self, indices: Any, epoch: int, step: int, steps_per_epoch: int) -> None:
            assert len(set(indices.tolist())) == 3
            self.taken.append((epoch, step, steps_per_epoch))

    fit: Any = Fit()
    assert len(list(islice(endless_steps(fit, rate=0.5), 5))) == 5
    assert fit.taken == [(0, 0, 4), (0, 1, 4), (0, 2, 4), (0, 3, 4), (1, 4, 4)]
    assert fit.optimizer.param_groups[0]["lr"] == 0.5
