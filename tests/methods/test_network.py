from typing import Any

import pytest
import torch
from mtneuro_ray.methods.network import SslNetwork
from torch import nn

from mtneuro_ray.config.network import Method, SslSettings

SSL = SslSettings(
    projector_hidden_size=10, projector_output_size=6, projector_2_hidden_size=9, projector_2_output_size=5
)
METHODS: tuple[Method, ...] = ("byol", "myow", "myowmerged")


def network_of(method: Method, ssl: SslSettings = SSL) -> SslNetwork:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return SslNetwork(encoder, 4, ssl, method)


def head_parameters(inputs: int, hidden: int, outputs: int) -> int:
    return (inputs + 1) * hidden + 2 * hidden + (hidden + 1) * outputs


def parameters_of(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_heads_have_the_published_sizes() -> None:
    network = SslNetwork(nn.Flatten(), 512, SslSettings(), "myow")
    projector, predictor = head_parameters(512, 4096, 256), head_parameters(256, 4096, 256)
    assert parameters_of(network.online.projector) == projector
    assert network.predictor_2 is not None
    for head in (network.predictor, network.online.projector_2, network.predictor_2):
        assert parameters_of(head) == predictor
    assert parameters_of(network.target) == projector + predictor


@pytest.mark.parametrize("method", METHODS)
def test_what_each_method_predicts(method: Method) -> None:
    features, augmented, mined = network_of(method)(torch.rand(8, 1, 6, 6))
    assert (features.shape, augmented.shape) == ((8, 4), (8, 6))
    if method == "myow":
        assert mined.shape == (8, 5)
    else:
        assert mined is augmented


def test_the_second_pair_reads_the_first_projection() -> None:
    network, images = network_of("myow"), torch.rand(8, 1, 6, 6)
    projections = network.online.projector(network.online.encoder(images))
    assert network.predictor_2 is not None
    expected = network.predictor_2(network.online.projector_2(projections))
    torch.testing.assert_close(network(images)[2], expected)
    torch.testing.assert_close(network(images)[1], network.predictor(projections))


def test_methods_start_from_the_same_weights_where_they_have_the_same_layers() -> None:
    byol, myow = network_of("byol").state_dict(), network_of("myow").state_dict()
    assert byol.keys() < myow.keys()
    assert all(torch.equal(tensor, myow[name]) for name, tensor in byol.items())


@pytest.mark.parametrize("method", METHODS)
def test_the_target_starts_equal_and_gets_no_gradient(method: Method) -> None:
    network, images = network_of(method), torch.rand(8, 1, 6, 6)
    online, target = network.online.state_dict(), network.target.state_dict()
    assert all(torch.equal(online[name], target[name]) for name in target)
    assert all(online[name].data_ptr() != target[name].data_ptr() for name in target)
    _, augmented, mined = network(images)
    wanted = network.target.projector(network.target.encoder(images))
    torch.autograd.backward((augmented - wanted).square().sum() + mined.square().sum())
    assert all(parameter.grad is None for parameter in network.target.parameters())
    learned = [*network.online.parameters(), *network.predictor.parameters()]
    assert all(parameter.grad is not None for parameter in learned)


@pytest.mark.parametrize("method", METHODS)
def test_the_target_moves_by_hand_computation(method: Method) -> None:
    network = network_of(method)
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
    names = {name.split(".")[0] for name in network_of("myow").state_dict()}
    assert names == {"online", "target", "predictor", "predictor_2"}
