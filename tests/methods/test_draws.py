from itertools import combinations, product

import numpy as np

from mtneuro_ray.engine.batches import epoch_order
from mtneuro_ray.methods.draws import Purpose, generator


def test_numbers_depend_on_seed_step_and_purpose_and_on_nothing_else() -> None:
    keys = list(product((0, 1), (0, 1), Purpose))
    drawn = {key: generator(*key).random(50) for key in keys}
    for key in keys:
        np.testing.assert_array_equal(generator(*key).random(50), drawn[key])
    for first, second in combinations(keys, 2):
        assert not np.isin(drawn[first], drawn[second]).any()


def test_numbers_are_not_those_of_the_order_of_an_epoch() -> None:
    order = epoch_order(50, seed=3, epoch=7)
    assert all(not np.array_equal(generator(3, 7, purpose).permutation(50), order) for purpose in Purpose)
