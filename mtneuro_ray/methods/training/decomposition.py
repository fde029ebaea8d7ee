"""PCA and NMF of the training images (paper, section 4.1)."""

from __future__ import annotations

from typing import cast

import numpy as np
from threadpoolctl import threadpool_limits

from mtneuro_ray.data.stored import StoredSplit
from mtneuro_ray.errors import InputError
from mtneuro_ray.methods.training.base import Method
from mtneuro_ray.models.nets.decomposition import Decomposition


class DecompositionMethod(Method):
    """Components of the flattened training images, or of their crops; fitted at once."""

    def fit(self) -> None:
        """Fit the encoder of the model.

        Raises:
            InputError: the training images exceed the memory budget.
        """
        if isinstance(self.split.data, StoredSplit):
            name, needed = self.setup.run.task.name, self.split.data.num_bytes
            raise InputError(
                f"{name}: run.memory_budget: is below the {needed} bytes of the training split, all of which "
                f"{self.network.method.name} reads at once; accepted: {needed} or more"
            )
        images = self.split.part(0, len(self.split)).images
        # Image by image, its crops adjacent; the inputs of one crop are overwritten by the next.
        inputs = [self.task.inputs(crop).flatten(1).cpu().numpy().copy() for crop in self.task.crops(images)]
        flat = np.stack(inputs, axis=1).reshape(-1, inputs[0].shape[1])
        with threadpool_limits(self.context.threads):
            cast(Decomposition, self.setup.classifier.encoder).fit(flat, self.seed)
