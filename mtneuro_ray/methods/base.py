"""Declaration of a method, the way a model learns, which imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtneuro_ray.config.owners import MethodSettings
from mtneuro_ray.models.base import Capability
from mtneuro_ray.registry import Declaration


@dataclass(frozen=True, kw_only=True)
class MethodDeclaration(Declaration):
    """One way to learn. `build` is a class of `methods.training.base.Method`.

    Attributes:
        settings: Type of its settings.
        needs: Capabilities that the model has to give.
        yields: "model": a whole model, trained on labels; "encoder": an encoder made without labels, which is then
            frozen, and a linear probe on its features that is trained on labels.
        by_steps: Whether it trains by gradient steps, in epochs.
        departures: Differences of its loss from the public code of its paper, in words; tables say them.
        mines_views: Whether its settings are `methods.myow.MyowMergedSettings`, with which examples of mined views are
            drawn.
    """

    settings: type[MethodSettings]
    needs: tuple[Capability, ...] = ("gradients",)
    yields: Literal["model", "encoder"] = "model"
    by_steps: bool = True
    departures: tuple[str, ...] = ()
    mines_views: bool = False

    @property
    def is_frozen(self) -> bool:
        """Whether the encoder is made without labels and only a linear probe learns from them."""
        return self.yields == "encoder"
