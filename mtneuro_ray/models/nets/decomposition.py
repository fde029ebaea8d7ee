"""PCA and NMF of images as encoders (Tasks 1 and 3): scikit-learn fits them, a module holds them.

scikit-learn is imported where it is used: that takes a second, which most trials need not spend.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mtneuro_ray.errors import TrainingError
from mtneuro_ray.models.encoders import DecompositionSettings
from mtneuro_ray.models.nets.resnet import EncoderClassifier

Floats = npt.NDArray[np.float32]

# Iterations of NMF, scikit-learn's default, in fitting and in encoding.
_ITERATIONS = 200


class Decomposition(nn.Module):
    """Weights of the components of images: (B, C, Y, X) -> (B, components); where fewer were fitted, the last are 0.

    Attributes:
        mean: (C * Y * X,) subtracted first; zeros for NMF.
        basis: (K, C * Y * X) one component per row.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, kind: Literal["PCA", "NMF"], components: int) -> None:
        super().__init__()
        self.kind, self.components = kind, components
        self.register_buffer("mean", torch.zeros(0))
        self.register_buffer("basis", torch.zeros(0, 0))

    def fit(self, images: Floats, seed: int) -> None:
        """Fit the components to images (N, C * Y * X), not negative for NMF; `seed` is for randomised solvers."""
        from sklearn.decomposition import NMF, PCA
        from sklearn.exceptions import ConvergenceWarning

        count = min(self.components, *images.shape)
        if self.kind == "PCA":
            fitted = PCA(count, random_state=seed).fit(images)
            mean, basis = fitted.mean_, fitted.components_
        else:
            # It stops at the bound of iterations; nearer to the optimum the features hardly change.
            with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
                basis = NMF(count, init="nndsvda", max_iter=_ITERATIONS, random_state=seed).fit(images).components_
            mean = np.zeros(images.shape[1])
        device = self.mean.device
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device)
        self.basis = torch.tensor(basis, dtype=torch.float32, device=device)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, Y, X) -> (B, components).

        Raises:
            TrainingError: the images are not of the size that was fitted.
        """
        flat = images.flatten(1).float()
        if flat.shape[1] != self.basis.shape[1]:
            raise TrainingError(f"{self.kind}: was fitted to {self.basis.shape[1]} pixels, not to {flat.shape[1]}")
        # In bf16, the default on a GPU, features would have three digits, and PCA's small ones none.
        with torch.autocast(flat.device.type, enabled=False):
            weights = (flat - self.mean) @ self.basis.T if self.kind == "PCA" else self._solve(flat)
        return nn.functional.pad(weights, (0, self.components - weights.shape[1]))

    def _solve(self, images: Tensor) -> Tensor:
        """The non-negative weights that come closest to each image."""
        from sklearn.decomposition import non_negative_factorization
        from sklearn.exceptions import ConvergenceWarning

        basis = self.basis.cpu().numpy()
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            weights, _, _ = non_negative_factorization(
                images.cpu().numpy(),
                H=basis,
                n_components=len(basis),
                init="custom",
                update_H=False,
                max_iter=_ITERATIONS,
            )
        return torch.from_numpy(np.ascontiguousarray(weights, np.float32)).to(images.device)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        # The number of pixels is known to the data and the weights, not to the settings.
        for name in ("mean", "basis"):
            stored = state_dict.get(prefix + name)
            if isinstance(stored, Tensor):
                setattr(self, name, torch.zeros_like(stored, device=self.mean.device))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def build(settings: DecompositionSettings, classes: int) -> EncoderClassifier:
    """Components, to be fitted, and a linear layer (MTNeuro paper, section 4.1)."""
    encoder = Decomposition(cast(Literal["PCA", "NMF"], settings.name), settings.components)
    return EncoderClassifier(encoder, settings.components, classes, dropout=0.0, latent_dim=None)
