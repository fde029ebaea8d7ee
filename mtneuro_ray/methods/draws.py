"""The random numbers of a step, drawn for the whole global batch from (seed, step).

A worker uses the rows of its own images, so they depend neither on the number of workers nor on where a run is resumed.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What numbers are for. 0 and 1 are orders of epochs (`engine.batches`) and mixup (`augment`), of the same keys."""

    VIEWS = 2
    MINING = 3
    HEADS = 4


def generator(seed: int, step: int, purpose: Purpose) -> np.random.Generator:
    """Numbers that are independent between seeds, steps and purposes."""
    # The purpose is the highest word of the counter: streams of one key never meet.
    counter = np.array([0, 0, 0, purpose], np.uint64)
    return np.random.Generator(np.random.Philox(key=np.array([seed, step], np.uint64), counter=counter))
