"""Boxes of the volume with what every model predicts of them, slice by slice, as bytes of pictures."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from mtneuro_ray.data.mosaic import EMPTY
from mtneuro_ray.data.store import Bytes
from mtneuro_ray.results.charts.ranges import thinned
from mtneuro_ray.results.charts.scenes import Scene, SceneLayer
from mtneuro_ray.results.frame import grouped

PIXELS = 40_000_000
"""Pixels of all pictures of a page, by which the number of its slices is chosen."""
_FEWEST, _MOST = 4, 64
# Longest side of a picture; larger slices are shown smaller.
_SIDE = 512
_QUALITY = 80
# Steps of the disagreement.
_LEVELS = 16
_ORANGE = (255, 122, 0)

Rgb = tuple[float, float, float]


class Overlay(NamedTuple):
    """What one model predicts of a box in one task; scores are mean IoU by slice."""

    label: str
    model: str
    layer: SceneLayer

    def scores(self, slices: Sequence[int]) -> list[float]:
        """The mean IoU over the classes of each slice; NaN where no voxel counts."""
        return [self.layer.mean_iou(z) for z in slices]


class Box(NamedTuple):
    """A box with the models that have predicted it.

    Attributes:
        title: Region, split and place.
        scene: Image, place and size.
        overlays: A model's task each.
        slices: Indices of the shown slices along z.
    """

    title: str
    scene: Scene
    overlays: list[Overlay]
    slices: list[int]


def boxes_of(scenes: Sequence[Scene], pixels: int = PIXELS) -> list[Box]:
    """The boxes that scenes show, each once, with as many slices as `pixels` allow, evenly."""

    def key_of(scene: Scene) -> tuple[object, ...]:
        image = hashlib.sha256(scene.image.tobytes()).hexdigest()
        return (scene.region, scene.split, scene.offset, scene.step, image)

    boxes = []
    for own in grouped(scenes, key_of).values():
        overlays = [
            Overlay(f"{scene.model} on {layer.task}", scene.model, layer) for scene in own for layer in scene.layers
        ]
        slices = sorted({int(z) for overlay in overlays for z in overlay.layer.slices})
        place = ", ".join(f"{axis} {low}" for axis, low in zip("zyx", own[0].offset, strict=True))
        title = f"{own[0].region}, {own[0].split} split, from {place}"
        boxes.append(Box(title, own[0], overlays, slices))
    planes = sum(_planes(box) * len(box.slices) for box in boxes)
    share = min(1.0, pixels / max(planes, 1))
    return [
        box._replace(slices=thinned(box.slices, max(_FEWEST, min(_MOST, int(share * len(box.slices))))))
        for box in boxes
    ]


def _planes(box: Box) -> int:
    """Pixels of the pictures of one slice: the image, and truth, prediction and disagreement of each model."""
    height, width = map(int, box.scene.image.shape[1:])
    factor = _factor(height, width)
    layers = sum(3 if overlay.layer.others else 2 for overlay in box.overlays)
    return (1 + layers) * (height // factor) * (width // factor)


def _factor(height: int, width: int) -> int:
    return -(-max(height, width) // _SIDE)


def image_bytes(plane: Bytes) -> bytes:
    """Grey values (Y, X) as JPEG."""
    factor = _factor(*plane.shape)
    picture = Image.fromarray(plane, "L").reduce(factor)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def classes_bytes(plane: Bytes, colors: Sequence[Rgb]) -> bytes:
    """Classes (Y, X) as PNG in their colors; the background, and what counts nowhere, is transparent.

    Args:
        plane: Class of each pixel, EMPTY where there is none.
        colors: Red, green and blue from 0 to 1 of the classes from 1 on.
    """
    factor = _factor(*plane.shape)
    shown = np.where(plane[::factor, ::factor] == EMPTY, 0, plane[::factor, ::factor]).astype(np.uint8)
    palette = [(0, 0, 0), *(tuple(round(255 * part) for part in color) for color in colors)]
    return _indexed(shown, palette, [0, *(255 for _ in colors)])


def disagreement_bytes(plane: npt.NDArray[np.float32]) -> bytes:
    """Disagreement of seeds (Y, X), 0 to 1, as PNG: one color, the more opaque the more they disagree."""
    factor = _factor(*plane.shape)
    levels = np.rint(plane[::factor, ::factor] * (_LEVELS - 1)).clip(0, _LEVELS - 1).astype(np.uint8)
    return _indexed(levels, [_ORANGE] * _LEVELS, [round(255 * level / (_LEVELS - 1)) for level in range(_LEVELS)])


def _indexed(plane: Bytes, palette: Sequence[tuple[int, ...]], alpha: Sequence[int]) -> bytes:
    picture = Image.fromarray(plane, "P")
    picture.putpalette([part for color in palette for part in color])
    out = io.BytesIO()
    picture.save(out, "PNG", transparency=bytes(alpha), optimize=True)
    return out.getvalue()
