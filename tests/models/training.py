"""What the tests of several networks do."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.models.dropout import DropoutKey, set_dropout_key


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
