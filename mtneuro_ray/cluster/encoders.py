"""Pretrained weights that the workers of a node share. Torch is imported where weights are read, not by the driver."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy.typing as npt
import ray
from ray import ObjectRef

from mtneuro_ray.cluster.ray_tasks import results
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.models.library import LibrarySettings

if TYPE_CHECKING:
    import torch

EncoderRef = ObjectRef[dict[str, npt.NDArray[Any]]]
# Model, encoder, weights and channels of the image: the model decides how many of the encoder's stages it has.
EncoderKey = tuple[str, str, str | None, int]


def encoder_key(network: NetworkSettings) -> EncoderKey | None:
    """What networks that start from the same weights have in common; None for one that starts from random ones."""
    if not network.starts_pretrained:
        return None
    settings = cast(LibrarySettings, network.model)
    return (settings.name, settings.encoder_name, settings.encoder_weights, settings.in_channels)


@ray.remote(num_cpus=0, max_retries=3, num_returns=2)
def _fetch_encoder(network: NetworkSettings) -> tuple[dict[str, npt.NDArray[Any]], int]:
    from mtneuro_ray.models.pretrained import fetch_encoder_weights

    weights = fetch_encoder_weights(network) or {}
    # Workers map arrays out of shared memory; tensors would be copied by each.
    return {name: tensor.numpy() for name, tensor in weights.items()}, len(weights)


def share_encoder(network: NetworkSettings) -> EncoderRef:
    """Read or download the weights that a network's encoder starts from, for all of its workers.

    Raises:
        InputError: they can't be had, or are not those of the encoder.
    """
    # Two references, which Ray types as one.
    fetched: Any = _fetch_encoder.remote(network)
    encoder: EncoderRef
    encoder, count = fetched
    results([count], unread=[encoder])
    return encoder


def get_encoder(ref: EncoderRef | None) -> dict[str, torch.Tensor] | None:
    """The shared weights, as read-only views of this node's memory."""
    if ref is None:
        return None
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return {name: torch.from_numpy(array) for name, array in ray.get(ref).items()}
