"""What the tests of several networks do."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.models.dropout import DropoutKey, GlobalDropout, set_dropout_key


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def loss_after_training(model: nn.Module, image: Tensor, target: Tensor, steps: int, lr: float) -> float:
    """Cross-entropy on the one batch that the model was trained on for some steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    loss = torch.tensor(torch.inf)
    for step in range(steps):
        set_dropout_key(model, DropoutKey(seed=0, step=step, start=0, total=len(image)))
        loss = F.cross_entropy(model(image), target)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return loss.item()


def parameters_without_gradient(model: nn.Module, image: Tensor) -> list[str]:
    set_dropout_key(model, DropoutKey(seed=0, step=0, start=0, total=len(image)))
    logits = model(image)
    torch.autograd.backward((logits * torch.randn_like(logits)).sum())
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def assert_same_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert list(state) == list(expected)
    assert [name for name in state if not torch.equal(state[name], expected[name])] == []


def without_dropout(model: nn.Module) -> nn.Module:
    """The model with every probability of dropout at zero."""
    for layer in model.modules():
        if isinstance(layer, GlobalDropout):
            layer.p = 0.0
    return model


def shuffle_norms(model: nn.Module) -> nn.Module:
    """The model with batch norms that are no identity in evaluation."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm3d):
            for values in layer.state_dict().values():
                if values.is_floating_point():
                    nn.init.uniform_(values, 0.5, 1.5)
    return model


def quarters(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """An image (B, 1, ...) whose quarters, in y and x, have four grey values and classes; others in each image."""
    target = torch.zeros(shape, dtype=torch.long)
    target[..., shape[-1] // 2 :] += 1
    target[..., shape[-2] // 2 :, :] += 2
    target = (target + torch.arange(shape[0]).view(-1, *[1] * (len(shape) - 1))) % 4
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return (target / 3 + 0.05 * noise)[:, None], target


class Layers:
    """The 3D layers of a model, handed out in their order and applied without it, in evaluation."""

    def __init__(self, model: nn.Module) -> None:
        modules = list(model.modules())
        self._convs = [layer for layer in modules if isinstance(layer, nn.Conv3d)]
        self._ups = [layer for layer in modules if isinstance(layer, nn.ConvTranspose3d)]
        self._norms = [layer for layer in modules if isinstance(layer, nn.BatchNorm3d)]

    def conv(self, x: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1) -> Tensor:
        layer = self._convs.pop(0)
        return F.conv3d(x, layer.weight, layer.bias, stride, padding, dilation)

    def up(self, x: Tensor) -> Tensor:
        layer = self._ups.pop(0)
        return F.conv_transpose3d(x, layer.weight, layer.bias, stride=2)

    def norm(self, x: Tensor) -> Tensor:
        layer = self._norms.pop(0)
        mean, var, weight, bias = (
            values.view(-1, 1, 1, 1)
            for values in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
            if values is not None
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def are_used_up(self) -> bool:
        return not (self._convs or self._ups or self._norms)
