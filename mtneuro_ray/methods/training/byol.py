"""BYOL: an online network learns to predict its slowly moving target's projection of another view."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mtneuro_ray.methods.byol import ByolSettings
from mtneuro_ray.methods.training.base import Setup
from mtneuro_ray.methods.training.self_supervised import SelfSupervised, ViewBatch, mlp_head, steps_of, upcast
from mtneuro_ray.models.build import autocast

# Share of its random weights in a target after the last step, above which it teaches little else.
_MOST_KEPT = 0.5


class Branch(nn.Module):
    """Encoder (images -> F), projector (F -> D) and MYOW's second projector (D -> its mined term's space).

    The online network and its target have one each; without a mined term `projector_2` is the identity.
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self.projector_2: nn.Module = nn.Identity()


class TargetNetwork(nn.Module):
    """Online network with its predictors, and target, whose weights have no gradient; both normalise over their batch.

    `encoder`, which gives `features` numbers, is trained in place. `heads` are hidden and output width of projector and
    predictor, `heads_2` those of MYOW's second, cascaded pair.
    """

    def __init__(
        self, encoder: nn.Module, features: int, heads: tuple[int, int], heads_2: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        hidden, outputs = heads
        self.online = Branch(encoder, mlp_head(features, hidden, outputs))
        self.predictor = mlp_head(outputs, hidden, outputs)
        self.predictor_2: nn.Module | None = None
        if heads_2 is not None:
            self.online.projector_2 = mlp_head(outputs, *heads_2)
            self.predictor_2 = mlp_head(heads_2[1], *heads_2)
        self.target = deepcopy(self.online).requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Views (N, C, y, x) -> features (N, F), predictions for the augmented term and for the mined term."""
        features = self.online.encoder(images)
        projections = self.online.projector(features)
        predictions = self.predictor(projections)
        if self.predictor_2 is None:
            return features, predictions, predictions
        return features, predictions, self.predictor_2(self.online.projector_2(projections))

    @torch.no_grad()
    def move_target(self, momentum: float) -> None:
        """Keep `momentum` of the target's weights and take the rest from the online network."""
        targets, onlines = list(self.target.parameters()), list(self.online.parameters())
        get_ema_multi_avg_fn(momentum)(targets, onlines, None)  # type: ignore[no-untyped-call]


class Byol(SelfSupervised):
    """Bootstrap your own latent (Grill et al. 2020)."""

    online: TargetNetwork
    settings: ByolSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        # After the batch norms were exchanged in place, the target's too.
        self.target = self.online.target
        self.target_encoder = self.compiled(self.target.encoder)

    @classmethod
    def cautions(cls, setup: Setup, history: Sequence[Mapping[str, Any]]) -> list[str]:
        """Also a target that stays near its random weights."""
        network, steps = setup.run.network, steps_of(setup)
        settings = cast(ByolSettings, network.method)
        kept = math.exp(-(1 - settings.momentum(steps)) * steps / 2)
        found = super().cautions(setup, history)
        if kept > _MOST_KEPT:
            found.append(
                f"{network.name}: {settings.name}: with method.base_momentum {settings.base_momentum} the target still "
                f"keeps {kept:.0%} of its random weights after {steps} steps; accepted: leave it out, or more epochs"
            )
        return found

    def build(self, encoder: nn.Module, features: int) -> nn.Module:
        """Online network and target."""
        settings = self.settings
        return TargetNetwork(encoder, features, (settings.projector_hidden_size, settings.projector_output_size))

    def targets(self, views: Tensor, batch: ViewBatch) -> list[Tensor]:
        """The target's projection of the other view of each view's image, (V * b, D)."""
        with autocast(self.network, self.context.device):
            return [self.other_views(self.target_encoder(views))]

    def other_views(self, features: Tensor) -> Tensor:
        """Features (V * b, F) of all views -> projections (V * b, D), each of the other view of its image."""
        projected = cast(Tensor, self.target.projector(features))
        return self.by_view(projected).flip(0).flatten(0, 1)

    def losses(self, outputs: list[Tensor], targets: list[Tensor], batch: ViewBatch) -> dict[str, Tensor]:
        """The augmented term is all of the loss."""
        augmented = self.distance(outputs[0], targets[0])
        return {"loss": augmented, "augmented": augmented}

    def distance(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """`prediction_loss` of (V * b, D), summed over this worker's images."""
        return prediction_loss(self.by_view(predictions), self.by_view(targets)).sum()

    def end_step(self, batch: ViewBatch, steps: int) -> None:
        """Move the target."""
        self.online.move_target(target_momentum(self.settings.momentum(steps), batch.step, steps))


def target_momentum(base: float, step: int, steps: int) -> float:
    """Share of the target that a step of `steps` keeps: from `base` at the first to 1 at the end, by a cosine."""
    return 1 - (1 - base) * (math.cos(math.pi * step / steps) + 1) / 2


def prediction_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """2 - 2 cos of each image, the sum over its views (Grill et al. 2020, equation 2): 2 (V, B, D) -> (B,)."""
    cosines = F.cosine_similarity(upcast(predictions), upcast(targets), dim=-1)
    return (2 - 2 * cosines).sum(0)
