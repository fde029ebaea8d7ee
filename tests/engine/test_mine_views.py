from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from torch import Tensor, nn

from mtneuro_ray.data.mined_views import Views
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine.mine_views import mine_views
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from tests.engine.data import arrays, run_of

SIDE = 16


class Greys(nn.Module):
    """The mean grey of an image, and a constant: (B, 1, y, x) -> (B, 2)."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.pad(images.flatten(1).mean(1, keepdim=True), (0, 1), value=0.5)


def examples(count: int = 12, **network: Any) -> tuple[SplitArrays, Views]:
    data = arrays(count, 0, masks=False)
    run = run_of("classification", method="myow", dropout=0.2, eval_crops="corners", **network)
    model = EncoderClassifier(Greys(), 2, classes=3, dropout=0.0, latent_dim=None)
    return data, mine_views(run, model, data)


def cosine(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    a, b = (np.array([crop.mean() / 255, 0.5]) for crop in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_views_are_crops_of_half_the_side_at_their_corners() -> None:
    data, views = examples()
    assert views.regions.tolist() == ["A", "B"]
    for number, region in enumerate((0, 1)):
        own = np.flatnonzero(data.regions == region)
        np.testing.assert_array_equal(views.images[number], data.images[own[len(own) // 2], 0, 0])
        for (y, x), view in zip(views.corners[number], views.views[number], strict=True):
            np.testing.assert_array_equal(view, views.images[number, y : y + SIDE // 2, x : x + SIDE // 2])


def test_the_mined_view_is_the_nearest_of_the_pool_and_others_fall_behind() -> None:
    _, views = examples(40, batch_size=40)
    assert views.pool_size.tolist() == [20]
    assert views.cosines.shape == (2, 5)
    for number in range(2):
        expected = [cosine(views.views[number, 0], crop) for crop in views.pool[number]]
        np.testing.assert_allclose(views.cosines[number], expected, rtol=1e-5)
        assert (np.diff(views.cosines[number]) <= 0).all()


def test_the_pool_holds_crops_of_other_images_only() -> None:
    data, views = examples(3)
    for number in range(2):
        for crop, region in zip(views.pool[number], views.pool_regions[number], strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(data.images[:, 0, 0], (8, 8), axis=(1, 2))
            sources = np.flatnonzero((windows == crop).all(axis=(3, 4)).any(axis=(1, 2)))
            assert len(sources) == 1
            assert not np.array_equal(data.images[sources[0], 0, 0], views.images[number])
            assert data.region_names[data.regions[sources[0]]] == region


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_examples(seed: int) -> None:
    first, second = (examples(seed=seed)[1] for _ in range(2))
    np.testing.assert_array_equal(first.views, second.views)
    np.testing.assert_array_equal(first.pool, second.pool)
    other = examples(seed=seed + 1)[1]
    assert not np.array_equal(first.corners, other.corners)
