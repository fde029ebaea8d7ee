"""SimCLR (Chen et al. 2020): two views of an image are told from the views of all other images of the batch."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.config.base import Positive, Rate
from mtneuro_ray.methods.base import MethodDeclaration
from mtneuro_ray.methods.self_supervised import SelfSupervisedSettings
from mtneuro_ray.methods.training.self_supervised import EncoderWithHead, SelfSupervised, ViewBatch, mlp_head


class SimclrSettings(SelfSupervisedSettings):
    """Keys of SimCLR."""

    projector_size: Positive = 128
    """Width of the projector."""
    temperature: Rate = 0.5
    """Divisor of the cosines."""


class Simclr(SelfSupervised):
    """NT-Xent loss of two views, with the other images of the global batch as negatives."""

    settings: SimclrSettings

    def build(self, encoder: nn.Module, features: int) -> nn.Module:
        return EncoderWithHead(encoder, mlp_head(features, self.settings.projector_size, self.settings.projector_size))

    def losses(self, outputs: list[Tensor], targets: Any, batch: ViewBatch) -> dict[str, Tensor]:
        own, every = (F.normalize(rows.float(), dim=-1) for rows in (outputs[0], self.gathered(outputs[0], batch)))
        total, place = len(batch.indices), batch.start + torch.arange(len(batch.samples), device=own.device)
        logits = own @ every.flatten(0, 1).T / self.settings.temperature
        itself, other = torch.cat([place, place + total]), torch.cat([place + total, place])
        logits = logits.scatter(1, itself.unsqueeze(1), -torch.inf)
        return {"loss": F.cross_entropy(logits, other, reduction="sum") / self.views}


SIMCLR = MethodDeclaration(
    name="simclr",
    summary="SimCLR (Chen et al. 2020), then a linear probe",
    build=Simclr,
    settings=SimclrSettings,
    needs=("gradients", "features"),
    yields="encoder",
)
