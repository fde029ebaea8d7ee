import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mtneuro_ray.methods.training.byol import TargetNetwork, prediction_loss, target_momentum

HEADS: dict[str, tuple[int, int] | None] = {"one pair": None, "two pairs": (9, 5)}


def network_of(heads: str) -> TargetNetwork:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return TargetNetwork(encoder, 4, (10, 6), HEADS[heads])


def head_parameters(inputs: int, hidden: int, outputs: int) -> int:
    return (inputs + 1) * hidden + 2 * hidden + (hidden + 1) * outputs


def parameters_of(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_heads_have_the_published_sizes() -> None:
    network = TargetNetwork(nn.Flatten(), 512, (4096, 256), (4096, 256))
    projector, predictor = head_parameters(512, 4096, 256), head_parameters(256, 4096, 256)
    assert parameters_of(network.online.projector) == projector
    assert network.predictor_2 is not None
    for head in (network.predictor, network.online.projector_2, network.predictor_2):
        assert parameters_of(head) == predictor
    assert parameters_of(network.target) == projector + predictor


@pytest.mark.parametrize("heads", HEADS)
def test_what_each_method_predicts(heads: str) -> None:
    features, augmented, mined = network_of(heads)(torch.rand(8, 1, 6, 6))
    assert (features.shape, augmented.shape) == ((8, 4), (8, 6))
    if heads == "two pairs":
        assert mined.shape == (8, 5)
    else:
        assert mined is augmented


def test_the_second_pair_reads_the_first_projection() -> None:
    network, images = network_of("two pairs"), torch.rand(8, 1, 6, 6)
    projections = network.online.projector(network.online.encoder(images))
    assert network.predictor_2 is not None
    expected = network.predictor_2(network.online.projector_2(projections))
    torch.testing.assert_close(network(images)[2], expected)
    torch.testing.assert_close(network(images)[1], network.predictor(projections))


def test_methods_start_from_the_same_weights_where_they_have_the_same_layers() -> None:
    byol, myow = network_of("one pair").state_dict(), network_of("two pairs").state_dict()
    assert byol.keys() < myow.keys()
    assert all(torch.equal(tensor, myow[name]) for name, tensor in byol.items())


@pytest.mark.parametrize("heads", HEADS)
def test_the_target_starts_equal_and_gets_no_gradient(heads: str) -> None:
    network, images = network_of(heads), torch.rand(8, 1, 6, 6)
    online, target = network.online.state_dict(), network.target.state_dict()
    assert all(torch.equal(online[name], target[name]) for name in target)
    assert all(online[name].data_ptr() != target[name].data_ptr() for name in target)
    _, augmented, mined = network(images)
    wanted = network.target.projector(network.target.encoder(images))
    torch.autograd.backward((augmented - wanted).square().sum() + mined.square().sum())
    assert all(parameter.grad is None for parameter in network.target.parameters())
    learned = [*network.online.parameters(), *network.predictor.parameters()]
    assert all(parameter.grad is not None for parameter in learned)


@pytest.mark.parametrize("heads", HEADS)
def test_the_target_moves_by_hand_computation(heads: str) -> None:
    network = network_of(heads)
    expected: dict[str, Any] = {name: value.clone() for name, value in network.target.named_parameters()}
    generator = torch.Generator().manual_seed(1)
    for momentum in (0.9, 0.99, 1.0, 0.0):
        with torch.no_grad():
            for parameter in network.online.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        network.move_target(momentum)
        for name, value in network.online.named_parameters():
            expected[name] = momentum * expected[name] + (1 - momentum) * value.detach()
        for name, value in network.target.named_parameters():
            torch.testing.assert_close(value, expected[name], msg=name)


def test_a_checkpoint_has_both_networks_and_the_predictors() -> None:
    names = {name.split(".")[0] for name in network_of("two pairs").state_dict()}
    assert names == {"online", "target", "predictor", "predictor_2"}


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


@pytest.mark.parametrize(
    ("step", "momentum"), [(0, 0.996), (25, 1 - 0.004 * (1 + math.sqrt(0.5)) / 2), (50, 0.998), (100, 1.0)]
)
def test_the_target_follows_more_slowly_until_it_rests(step: int, momentum: float) -> None:
    assert target_momentum(0.996, step, 100) == pytest.approx(momentum, abs=1e-12)
