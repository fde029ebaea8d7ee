from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mtneuro_ray.errors import InputError
from mtneuro_ray.models import MODELS
from mtneuro_ray.models.dropout import DropoutKey, GlobalChannelDropout, GlobalDropout, set_dropout_key
from mtneuro_ray.models.library import LibrarySettings
from mtneuro_ray.models.nets.library import build, library_network
from tests.models.training import (
    loss_after_training,
    parameter_count,
    parameters_without_gradient,
    quarters,
    without_dropout,
)

NAMES: tuple[str, ...] = ("MAnet", "FPN", "UnetPlusPlus", "PAN", "PSPNet")
# A network of timm's own tests: the smallest encoder there is.
TINY = "tu-test_resnet"


def settings_of(model: str, encoder_name: str = "efficientnet-b7") -> LibrarySettings:
    return LibrarySettings(name=model, encoder_name=encoder_name)


def segmentation_model(model: str, encoder_name: str, classes: int = 4) -> nn.Module:
    return build(settings_of(model, encoder_name), classes)


def smallest(model: str) -> tuple[int, int, int, int]:
    side = MODELS.find(model).size_rule(settings_of(model)).smallest
    return MODELS.find(model).smallest_batch, 1, side, side


@pytest.fixture
def deterministic() -> Iterator[None]:
    """As the training loop has it on a CPU: what would not be repeatable is an error."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("model", "expected"),
    list(zip(NAMES, [77_997_704, 65_665_108, 68_162_836, 63_964_635, 63_893_728], strict=True)),
)
def test_parameter_count_with_the_encoder_of_the_paper(model: str, expected: int) -> None:
    with torch.device("meta"):
        assert parameter_count(library_network(settings_of(model), 4)) == expected


@pytest.mark.parametrize("model", NAMES)
def test_is_the_network_of_the_library(model: str) -> None:
    networks, states = [], []
    for made in (build, library_network):
        torch.manual_seed(0)
        networks.append(made(settings_of(model, "resnet18"), 3).eval())
        states.append(torch.get_rng_state())
    ours, library = networks
    assert torch.equal(*states)
    assert list(ours.state_dict()) == list(library.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(ours.state_dict().values(), library.state_dict().values(), strict=True)
    )
    image = torch.randn(smallest(model))
    logits = ours(image)
    assert logits.shape == (len(image), 3, *image.shape[2:])
    assert torch.equal(logits, library(image))


# The sizes of efficientnet-b0, of the family that the paper uses; other encoders may take smaller ones.
@pytest.mark.parametrize("model", NAMES)
def test_accepts_exactly_the_sizes_of_its_rule(model: str) -> None:
    rule = MODELS.find(model).size_rule(settings_of(model))
    network = segmentation_model(model, "efficientnet-b0")
    set_dropout_key(network, DropoutKey(seed=0, step=0, start=0, total=2))
    step, first = rule.divisor, rule.smallest
    outcomes = {}
    for size in (first - step, first - step // 2, first, first + step // 2, first + step):
        image = torch.randn(MODELS.find(model).smallest_batch, 1, size, size)
        try:
            outcomes[size] = network(image).shape[2:] == image.shape[2:]
        except (RuntimeError, ValueError):
            outcomes[size] = False
    assert outcomes == {size: rule.accepts(size) for size in outcomes}
    assert list(outcomes.values()) == [False, False, True, False, True]


def test_pan_needs_two_images() -> None:
    network = segmentation_model("PAN", TINY)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.randn(1, 1, 128, 128))


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize(
    ("model", "encoder"),
    [(model, TINY) for model in NAMES]
    # PSPNet leaves out the last stages of these.
    + [(model, encoder) for model in ("FPN", "PSPNet") for encoder in ("resnet18", "efficientnet-b0")],
)
def test_gradient_reaches_what_is_not_frozen(model: str, encoder: str) -> None:
    torch.manual_seed(0)
    network = segmentation_model(model, encoder)
    assert network.training
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    silent = parameters_without_gradient(network, torch.randn(smallest(model)))
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == frozen
    if encoder == "resnet18":
        # A batch norm takes the bias before it away. Encoders other than this one drop or silence whole blocks.
        assert all(name.endswith(".conv.bias") for name in set(silent) - set(frozen))
    unused = {
        ("PSPNet", "resnet18"): ("encoder.layer3.", "encoder.layer4."),
        ("PSPNet", "efficientnet-b0"): ("encoder._conv_head.", "encoder._bn1.", "encoder._blocks."),
    }.get((model, encoder), ("encoder._conv_head.", "encoder._bn1."))
    assert all(name.startswith(unused) for name in frozen)
    assert bool(frozen) == (encoder == "efficientnet-b0" or (model, encoder) == ("PSPNet", "resnet18"))


def test_distributed_data_parallel_accepts_unused_stages(tmp_path: Path) -> None:
    dist.init_process_group("gloo", f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        network = DistributedDataParallel(segmentation_model("PSPNet", "resnet18"))
        for _ in range(2):  # What was not reduced in one step is an error in the next.
            parameters_without_gradient(network, torch.randn(1, 1, 32, 32))
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("model", ["FPN", "PSPNet"])
def test_dropout_follows_its_key_whoever_holds_which_images(model: str) -> None:
    network = segmentation_model(model, TINY)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert [layer.p for layer in network.modules() if isinstance(layer, GlobalChannelDropout)] == [0.2]
    image = torch.randn(4, 1, 64, 64)

    def logits(step: int, start: int, stop: int) -> torch.Tensor:
        set_dropout_key(network, DropoutKey(seed=0, step=step, start=start, total=4))
        rows: torch.Tensor = network(image[start:stop])
        return rows

    whole = logits(0, 0, 4)
    torch.testing.assert_close(torch.cat([logits(0, 0, 1), logits(0, 1, 4)]), whole, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits(1, 0, 4), whole, rtol=1e-2)


def test_no_dropout_of_torch_is_left_in_an_encoder() -> None:
    network = segmentation_model("FPN", "efficientnet-b0")
    assert not [module for module in network.modules() if isinstance(module, nn.modules.dropout._DropoutNd)]
    assert [layer.p for layer in network.modules() if isinstance(layer, GlobalDropout)] == [0.2, 0.2]


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("model", ["FPN", "PAN", "PSPNet"])
def test_learns_one_batch_by_heart(model: str) -> None:
    torch.manual_seed(0)
    image, target = quarters((2, *smallest(model)[2:]))
    network = without_dropout(segmentation_model(model, TINY))
    assert loss_after_training(network, image, target, steps=20, lr=5e-3) < 0.1


@pytest.mark.parametrize(
    ("model", "encoder", "message"),
    [
        ("FPN", "resnet19", "'resnet19' is no encoder of .*; accepted: such as resnet18, "),
        ("FPN", "nothing", "'nothing' is no encoder of .*; accepted: such as resnet18, efficientnet-b7 "),
        ("FPN", "tu-resnet19", "'tu-resnet19' is no encoder of .*; accepted: such as tu-resnet1"),
        ("PAN", "densenet121", "PAN can't have densenet121: .* do not support dilated mode .*; accepted: another one"),
        ("UnetPlusPlus", "mit_b0", "UnetPlusPlus can't have mit_b0: .*; accepted: another one"),
        ("FPN", "tu-test_vit", "FPN can't have tu-test_vit: Unsupported model downsampling pattern"),
    ],
)
def test_encoders_that_the_library_refuses_are_input_errors(model: str, encoder: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^encoder_name: {message}"):
        segmentation_model(model, encoder)
