from __future__ import annotations

import numpy as np
import pytest
import torch

from mtneuro_ray.tasks.training.base import build_task
from tests.engine.data import run_of

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
