from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mtneuro_ray.data.normalization import Scaling
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.errors import InputError
from mtneuro_ray.tasks.training.base import build_task
from tests.engine.data import run_of

CPU = torch.device("cpu")
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
FLOATS = ("float16", "float32", "float64")
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 1, 1, 8, 8), np.uint8))


def test_unit_inputs_are_fractions_of_255() -> None:
    inputs = build_task(run_of("segmentation")).inputs(IMAGES)
    torch.testing.assert_close(inputs, IMAGES[:, 0].float() / 255)


def test_image_inputs_have_mean_0_and_deviation_1_whatever_the_brightness_and_contrast() -> None:
    task = build_task(run_of("segmentation", input_norm="image"))
    inputs = task.inputs(IMAGES).clone()
    assert inputs.flatten(1).mean(1).abs().max() < 1e-6
    torch.testing.assert_close(inputs.flatten(1).std(1, correction=0), torch.ones(3))
    darker = (IMAGES // 4 + 100).to(torch.uint8)
    exact = (IMAGES // 4).to(torch.uint8)
    first = task.inputs(darker).clone()
    torch.testing.assert_close(first, task.inputs(exact), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("norm", ["unit", "image"])
def test_flat_images_and_no_images_give_finite_inputs(norm: str) -> None:
    task = build_task(run_of("segmentation", input_norm=norm))
    flat = torch.full((2, 1, 1, 8, 8), 7, dtype=torch.uint8)
    assert task.inputs(flat).isfinite().all()
    assert task.inputs(flat[:0]).shape == (0, 1, 8, 8)


def test_a_stack_of_slices_keeps_its_z_axis() -> None:
    stack = IMAGES.reshape(1, 1, 3, 8, 8)
    assert build_task(run_of("segmentation")).inputs(stack).shape == (1, 1, 3, 8, 8)


def reference(images: np.ndarray[Any, Any], scaling: Scaling) -> np.ndarray[Any, Any]:
    each = (1, -1, 1, 1, 1)
    found: np.ndarray[Any, Any] = (images.astype(np.float64) - np.reshape(scaling.shift, each)) * np.reshape(
        scaling.factor, each
    )
    return np.clip(found, 0, 1) if scaling.clips else found


@pytest.mark.parametrize(
    ("dtype", "normalization"),
    [
        *((dtype, name) for dtype in (*INTEGERS, *FLOATS) for name in ("window", "percentile", "zscore")),
        *((dtype, "unit") for dtype in INTEGERS),
    ],
)
def test_inputs_of_every_type_are_those_of_numpy_in_double_precision(dtype: str, normalization: str) -> None:
    random, kind = np.random.default_rng(0), np.dtype(dtype)
    images = random.normal(60 if kind.itemsize == 1 else 1000, 20, (4, 2, 1, 6, 6))
    if kind.kind != "f":
        # Small differences on a large value, which float32 alone would lose.
        top = np.iinfo(kind).max
        images = np.clip(images + (top - 2000 if kind.itemsize > 2 else 0), np.iinfo(kind).min, top)
    images = images.astype(kind)
    window = {"low": float(images.min()) - 1, "high": float(images.max())} if normalization == "window" else {}
    run = run_of("segmentation", data={"normalization": normalization, **window})
    scaling = Scaling.of(run.network.data, list(images), "task")
    task = build_task(run, scaling=scaling)
    split = ResidentSplit(SplitArrays(images, None, np.zeros(4, np.int64), np.zeros(4, np.int64), ("A",)), CPU)
    order = np.array([2, 0, 3, 1])
    for batch, own in ((split.gather(order), images[order]), (split.part(1, 4), images[1:])):
        found = task.inputs(batch.images).numpy()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, reference(own, scaling)[:, :, 0], atol=2e-5, rtol=1e-5)


def test_each_channel_of_an_image_is_normalised_by_itself() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 50, (3, 2, 1, 8, 8)).astype(np.uint16)
    images[:, 1] *= 200
    run = run_of("segmentation", input_norm="image")
    inputs = build_task(run, scaling=Scaling.of(run.network.data, list(images), "task")).inputs(
        torch.from_numpy(images)
    )
    torch.testing.assert_close(inputs.flatten(2).mean(2), torch.zeros(3, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(inputs.flatten(2).std(2, correction=0), torch.ones(3, 2), atol=1e-3, rtol=0)


def test_voxels_that_are_no_number_are_refused_or_filled() -> None:
    images = torch.rand(2, 1, 1, 4, 4)
    images[0, 0, 0, 1, 1:3] = torch.tensor([torch.nan, -torch.inf])
    for changes, accepted in (({}, False), ({"nonfinite": 0.25}, True)):
        run = run_of("segmentation", data={"normalization": "zscore", **changes})
        task = build_task(run, scaling=Scaling.of(run.network.data, list(images.numpy()), "task"))
        if not accepted:
            with pytest.raises(InputError, match=r"small: image_chan: holds NaN or infinity; accepted: .*nonfinite"):
                task.inputs(images)
            continue
        filled = torch.where(images.isfinite(), images, 0.25)
        torch.testing.assert_close(task.inputs(images).clone(), task.inputs(filled))


def test_images_of_another_type_or_number_of_channels_than_in_training_are_refused() -> None:
    task = build_task(run_of("segmentation"))
    for images, words in (
        (
            torch.zeros(1, 1, 1, 4, 4, dtype=torch.int16),
            r"1 channel\(s\) of int16; accepted: 1 of uint8, as",
        ),
        (torch.zeros(1, 2, 1, 4, 4, dtype=torch.uint8), r"2 channel\(s\) of uint8; accepted: 1 of uint8"),
    ):
        with pytest.raises(InputError, match=words):
            task.inputs(images)


def test_statistics_that_were_not_recorded_are_not_guessed() -> None:
    task = build_task(run_of("segmentation", data={"normalization": "zscore"}))
    with pytest.raises(InputError, match="the statistics of 'zscore' are not known"):
        task.inputs(IMAGES)
