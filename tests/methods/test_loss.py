import math

import numpy as np
import pytest
import torch
from mtneuro_ray.methods.loss import feature_std, prediction_loss


def test_the_loss_is_the_squared_distance_of_unit_vectors_summed_over_both_views() -> None:
    random = np.random.default_rng(0)
    predictions, targets = random.normal(size=(2, 2, 5, 7))
    expected = np.zeros(5)
    for view in range(2):
        for image in range(5):
            p, z = predictions[view, image], targets[view, image]
            expected[image] += np.sum((p / np.linalg.norm(p) - z / np.linalg.norm(z)) ** 2)
    losses = prediction_loss(torch.from_numpy(predictions), torch.from_numpy(targets))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


@pytest.mark.parametrize(("angle", "loss"), [(0.0, 0.0), (math.pi / 3, 1.0), (math.pi / 2, 2.0), (math.pi, 4.0)])
def test_the_loss_of_an_angle_whatever_the_lengths(angle: float, loss: float) -> None:
    prediction = torch.tensor([[[3.0, 0.0]]])
    target = 0.1 * torch.tensor([[[math.cos(angle), math.sin(angle)]]])
    assert prediction_loss(prediction, target).item() == pytest.approx(loss, abs=1e-6)


def test_no_images_have_no_losses() -> None:
    assert prediction_loss(torch.zeros(2, 0, 4), torch.zeros(2, 0, 4)).shape == (0,)


def test_the_deviation_of_features() -> None:
    spread = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    assert feature_std(spread).item() == pytest.approx(1 / math.sqrt(64), rel=0.02)
    # Length is no direction: an encoder that only scales has collapsed.
    collapsed = spread[:1] * torch.arange(1, 9).unsqueeze(1)
    assert feature_std(collapsed).item() < 1e-6
    # Half the images in one direction, half in another: each of two dimensions deviates by 1/2, the third does not.
    two = torch.eye(3)[[0, 1, 0, 1]]
    assert feature_std(two).item() == pytest.approx(1 / 3)
