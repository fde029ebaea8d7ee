"""In what arithmetic, and how many images at a time, a trained model is asked."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mtneuro_ray.config.network import NetworkSettings

# Images, and voxels, of one forward pass in evaluation. Larger is no faster; they bound memory.
_IMAGES = 32
_VOXELS = 32 * 256 * 256


def parts(start: int, stop: int, voxels: int) -> Iterator[tuple[int, int]]:
    """The half-open parts of images `start` to `stop`, of `voxels` each, that pass through a model at once."""
    at_once = max(1, min(_IMAGES, _VOXELS // voxels))
    for first in range(start, stop, at_once):
        yield first, min(first + at_once, stop)


def autocast(network: NetworkSettings, device: torch.device) -> torch.autocast:
    """The arithmetic of a forward pass: bf16 where the network says so, or says "auto" and there is a GPU."""
    reduced = network.precision == "bf16" or (network.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=reduced)
