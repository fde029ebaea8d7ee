"""SimCLR (Chen et al. 2020): two views of an image attract each other, views of other images repel."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtneuro_ray.config.base import Positive, Rate
from mtneuro_ray.methods.base import MethodDeclaration
from mtneuro_ray.methods.self_supervised import SelfSupervisedSettings
from mtneuro_ray.methods.training.self_supervised import EncoderWithHead, SelfSupervised, ViewBatch, mlp_head


class SimClrSettings(SelfSupervisedSettings):
    hidden_size: Positive = 512
    """Hidden width of the projector."""
    output_size: Positive = 128
    """Output width of the projector."""
    temperature: Rate = 0.2
    """Divisor of the cosines in the loss (Chen et al. 2020, equation 1)."""


class SimClr(SelfSupervised):
    settings: SimClrSettings

    def build(self, encoder: nn.Module, features: int) -> nn.Module:
        return EncoderWithHead(encoder, mlp_head(features, self.settings.hidden_size, self.settings.output_size))

    def losses(self, outputs: list[Tensor], targets: None, batch: ViewBatch) -> dict[str, Tensor]:
        views = F.normalize(self.gathered(outputs[0].float(), batch).flatten(0, 1), dim=1)  # (2 * B, D)
        cosines = (views @ views.T / self.settings.temperature).fill_diagonal_(-torch.inf)
        partners = torch.arange(len(views), device=views.device).roll(len(views) // 2)
        return {"loss": F.cross_entropy(cosines, partners) * len(batch.samples)}


SIMCLR = MethodDeclaration(
    name="simclr", summary="SimCLR (Chen et al. 2020), then a linear probe", build=SimClr, settings=SimClrSettings,
    needs=("gradients", "features"), yields="encoder",
)  # fmt: skip
