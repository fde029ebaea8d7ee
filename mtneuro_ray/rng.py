"""Random numbers of a run: each depends only on (seed, purpose, epoch or step, sample), not on a running stream.

A resumed run, or a run with another number of workers, therefore draws the same numbers. Weights are the exception:
they come from torch's own generator, right after `torch.manual_seed(seed)`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


class Purpose(IntEnum):
    """Separate streams of one seed and step. The numbers are part of the protocol: add new ones at the end."""

    ORDER = 0
    MIXUP = 1
    VIEWS = 2
    MINING = 3
    HEADS = 4
    METHOD = 5
    INSPECTION = 6
    PATCHES = 7
    RANKS = 8


def generator(seed: int, step: int, purpose: Purpose) -> np.random.Generator:
    """A generator, independent of those of other seeds, steps (or epochs) and purposes."""
    # The purpose is the highest word of the counter: streams of one key never overlap.
    counter = np.array([0, 0, 0, purpose], np.uint64)
    return np.random.Generator(np.random.Philox(key=np.array([seed, step], np.uint64), counter=counter))


def epoch_order(count: int, seed: int, epoch: int) -> Indices:
    """Permutation (count,) of the training samples in an epoch."""
    return generator(seed, epoch, Purpose.ORDER).permutation(count)


def sample_words(seed: int, epoch: int, samples: Sequence[int] | Indices, words: int = 1) -> list[Words]:
    """Random 64-bit words of samples, independent of their batch and worker.

    Args:
        seed: Seed of the run, 0 or more.
        epoch: Epoch, from 0.
        samples: (B,) indices within the split, 0 or more.
        words: Number of words per sample.

    Returns:
        `words` arrays (B,).
    """
    indices = np.asarray(samples, dtype=np.uint64)
    state = np.zeros_like(indices)
    for word in (np.uint64(seed), np.uint64(epoch), indices):
        state = _mix(state ^ word)
    found = [state]
    while len(found) < words:
        found.append(_mix(found[-1]))
    return found


def layer_seed(seed: int, step: int, layer: int) -> int:
    """Seed of the dropout masks of one layer in one step: 64 bits, signed. Negative layers seed torch's own draws."""
    digest = hashlib.sha256(f"dropout {seed} {step} {layer}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def _mix(words: Words) -> Words:
    """The splitmix64 step (Steele et al. 2014): a bijection of 64-bit words in which every bit moves every other."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
