from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mtneuro_ray.data.volume_input import VolumeInput
from mtneuro_ray.data.windows import View, WindowGrid
from mtneuro_ray.engine.blending import Blender, importance
from mtneuro_ray.models.nets.unet import UNet
from mtneuro_ray.models.unet import UNetSettings
from mtneuro_ray.roi import Roi, Shape
from tests.data.test_volume_input import Array

CPU = torch.device("cpu")
EXTENT = (6, 37, 44)
VOXELS = np.random.default_rng(0).integers(0, 256, EXTENT, np.uint8)


def network(dim: int) -> Callable[[Tensor], Tensor]:
    torch.manual_seed(0)
    model = UNet(UNetSettings(name="UNet", dim=dim, n_blocks=2, start_filters=4), 3).eval()  # type: ignore[arg-type]

    @torch.no_grad()
    def predict(images: Tensor) -> Tensor:
        inputs = images.float() / 255
        shares: Tensor = model(inputs.squeeze(2) if dim == 2 else inputs).softmax(1)
        return shares.unsqueeze(2) if dim == 2 else shares

    return predict


def blender(predict: Callable[[Tensor], Tensor], window: Shape, overlap: float, kept: int, batch: int = 3) -> Blender:
    grid = WindowGrid.of(EXTENT, window, overlap)
    return Blender(grid, View(window), predict, VolumeInput((Array(VOXELS),)).read, 3, batch, CPU, kept)


def blocks_of(made: Blender, blocks: Iterable[Roi]) -> Any:
    found = np.full((3, *EXTENT), np.nan, np.float32)
    for roi in blocks:
        found[(slice(None), *roi.slices)] = made.block(roi).numpy()
    return found


@pytest.mark.parametrize(("dim", "window"), [(2, (1, 16, 16)), (3, (4, 16, 16))])
def test_a_volume_is_the_same_to_the_bit_however_it_is_cut_and_as_monai_blends_it(dim: int, window: Shape) -> None:
    inferers = pytest.importorskip("monai.inferers")
    predict, whole = network(dim), Roi.at((0, 0, 0), EXTENT)
    found = blocks_of(blender(predict, window, 0.5, 0), [whole])
    for shape in ((4, 16, 16), (3, 20, 44)):
        blocks = list(whole.split(shape))
        for kept in (0, 20_000, 2**30):
            np.testing.assert_array_equal(blocks_of(blender(predict, window, 0.5, kept), blocks), found)
            # One by one, and the pixels of one read while the one before is computed.
            ahead = blender(predict, window, 0.5, kept).blocks(blocks)
            for roi, values in zip(blocks, ahead, strict=True):
                np.testing.assert_array_equal(values.numpy(), found[(slice(None), *roi.slices)])
        np.testing.assert_array_equal(blocks_of(blender(predict, window, 0.5, 2**30), reversed(blocks)), found)

    images = torch.from_numpy(VOXELS).float()
    if dim == 3:
        inferer = inferers.SlidingWindowInferer(window, 3, 0.5, "gaussian")
        theirs = inferer(images[None, None], predict)[0]
    else:
        inferer = inferers.SlidingWindowInferer(window[1:], 3, 0.5, "gaussian")
        theirs = inferer(images[:, None], lambda part: predict(part[:, :, None])[:, :, 0]).transpose(0, 1)
    np.testing.assert_allclose(found, theirs.numpy(), atol=1e-6)


def test_no_window_is_computed_twice_while_it_is_kept() -> None:
    predict, asked = network(2), []

    def count(images: Tensor) -> Tensor:
        asked.append(len(images))
        return predict(images)

    made = blender(count, (1, 16, 16), 0.5, 2**30, batch=1)
    blocks_of(made, Roi.at((0, 0, 0), EXTENT).split((5, 16, 16)))
    grid = WindowGrid.of(EXTENT, (1, 16, 16), 0.5)
    assert sum(asked) == grid.count(0) * grid.count(1) * grid.count(2)


def test_the_network_computes_with_the_threads_of_its_caller() -> None:
    predict, found, before = network(2), [], torch.get_num_threads()

    def noted(images: Tensor) -> Tensor:
        found.append(torch.get_num_threads())
        return predict(images)

    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            blender(noted, (1, 16, 16), 0.5, 0).block(Roi.at((0, 0, 0), (1, 16, 16)))
            assert set(found) == {threads}
            found.clear()
    finally:
        torch.set_num_threads(before)


def test_there_is_no_seam_where_blocks_meet() -> None:
    """The prediction of a smooth network is smooth across block borders and the borders of windows."""

    def smooth(images: Tensor) -> Tensor:
        mean = nn.functional.avg_pool3d(images.float() / 255, (1, 9, 9), 1, (0, 4, 4), count_include_pad=False)
        return torch.cat([mean, 1 - mean, torch.zeros_like(mean)], 1)

    found = blocks_of(blender(smooth, (1, 16, 16), 0.5, 0), Roi.at((0, 0, 0), EXTENT).split((2, 16, 16)))
    steps = np.abs(np.diff(found[0], axis=2)).mean((0, 1))
    borders = [15, 31]
    assert steps[borders].mean() < 1.3 * np.delete(steps, borders).mean()


def test_unpadded_convolutions_predict_the_middle_of_what_they_see() -> None:
    def middle(images: Tensor) -> Tensor:
        return images[..., 3:-3, 3:-3].float().expand(-1, 3, -1, -1, -1)

    grid = WindowGrid.of(EXTENT, (1, 8, 8), 0.25)
    made = Blender(grid, View((1, 14, 14), (0, 3, 3)), middle, VolumeInput((Array(VOXELS),)).read, 3, 2, CPU, 0)
    found = blocks_of(made, Roi.at((0, 0, 0), EXTENT).split((10, 24, 24)))
    np.testing.assert_allclose(found[0], VOXELS, atol=1e-3)


def test_a_box_that_is_smaller_than_a_window_lies_in_its_middle() -> None:
    grid = WindowGrid.of((1, 5, 6), (1, 16, 16), 0.5)
    voxels = VOXELS[:1, :5, :6]
    made = Blender(
        grid,
        View((1, 16, 16)),
        lambda images: images.float().expand(-1, 3, -1, -1, -1),
        VolumeInput((Array(voxels),)).read,
        3,
        1,
        CPU,
        0,
    )
    np.testing.assert_allclose(made.block(Roi.at((0, 0, 0), (1, 5, 6)))[0], voxels, atol=1e-4)


def test_weights_are_those_of_monai() -> None:
    utils = pytest.importorskip("monai.data.utils")
    for window in ((1, 16, 16), (4, 7, 33)):
        theirs = utils.compute_importance_map(window, "gaussian")
        np.testing.assert_allclose(importance(window).numpy(), theirs.numpy(), rtol=1e-5)


def test_tiles_at_a_stride_are_seen_where_they_lie() -> None:
    grid = WindowGrid.of((6, 4, 5), (1, 1, 1), 0.0)

    def first_and_last(images: Tensor) -> Tensor:
        values = torch.stack([images[:, 0, 0, 0, 0], images[:, 0, -1, -1, -1], images[:, 0, 0, 0, -1]], 1)
        return values.float()[..., None, None, None]

    view = View((1, 10, 12), scale=(1, 8, 7))
    made = Blender(grid, view, first_and_last, VolumeInput((Array(VOXELS),)).read, 3, 4, CPU, 0)
    found = np.concatenate([made.block(roi).numpy() for roi in Roi.at((0, 0, 0), (6, 4, 5)).split((2, 4, 5))], 1)
    np.testing.assert_array_equal(found[0], VOXELS[:, :25:8, :29:7])
    np.testing.assert_array_equal(found[1], VOXELS[:, 9:34:8, 11:40:7])
