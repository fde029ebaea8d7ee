"""The two networks of BYOL and MYOW: the online one learns to predict what its slowly following target says."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mtneuro_ray.methods.declared import ByolSettings, MyowSettings


def _head(inputs: int, hidden: int, outputs: int) -> nn.Module:
    """A projector or predictor (Grill et al. 2020, section 3.3): (B, inputs) -> (B, outputs)."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs)
    )


class _Branch(nn.Module):
    """What online network and target have in common.

    Attributes:
        encoder: images -> (B, F).
        projector: F -> D.
        projector_2: of the projection, to the space of the mined term (MYOW); the identity in BYOL and MYOW-m.
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.projector_2: nn.Module = nn.Identity()


class SslNetwork(nn.Module):
    """Online network with its predictors, and target, whose weights have no gradient.

    Batch norms are those of training in both, over the batch that is passed.

    Args:
        encoder: what is trained, in place.
        features: of the encoder.
        ssl: sizes of the heads.
    """

    def __init__(self, encoder: nn.Module, features: int, ssl: ByolSettings) -> None:
        super().__init__()
        hidden, outputs = ssl.projector_hidden_size, ssl.projector_output_size
        self.online = _Branch(encoder, _head(features, hidden, outputs))
        self.predictor = _head(outputs, hidden, outputs)
        self.predictor_2: nn.Module | None = None
        if isinstance(ssl, MyowSettings):
            hidden_2, outputs_2 = ssl.projector_2_hidden_size, ssl.projector_2_output_size
            self.online.projector_2 = _head(outputs, hidden_2, outputs_2)
            self.predictor_2 = _head(outputs_2, hidden_2, outputs_2)
        self.target = deepcopy(self.online).requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Views (N, 1, y, x) -> features (N, F), predictions for the augmented term and for the mined term."""
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
