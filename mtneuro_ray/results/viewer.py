"""Image and prediction of a volume together in Neuroglancer, served from this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.paths import address_of
from mtneuro_ray.volumes.source import VolumeSource, open_volume

# Colors of classes 0 to 8: nothing for the background, then the colors of a color-blind safe palette (Okabe and Ito).
_COLORS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")

# Voxels in the middle of a volume by which its grey values are shown.
_SAMPLE = (8, 256, 256)


class _Readable:
    """A volume as Neuroglancer reads one: by slices within the part that has voxels."""

    def __init__(self, source: VolumeSource, is_image: bool) -> None:
        self._source, self._box = source, source.domain
        self.shape, self.ndim, self.rank = self._box.shape, 3, 3
        # Its pages know no booleans, no 64-bit floats and integers, but for segments, which have no sign.
        kinds = {"bool": "uint8", "float64": "float32", "float16": "float32"}
        kinds |= dict.fromkeys(("int64", "uint64") if is_image else (), "float32")
        kinds |= dict.fromkeys(() if is_image else ("int8", "int16", "int32", "int64"), "uint64")
        self.dtype: np.dtype[Any] = np.dtype(kinds.get(source.dtype.name, source.dtype.name))

    def __getitem__(self, index: Sequence[slice]) -> Any:
        ranges = [(low + part.start, low + part.stop) for part, (low, _) in zip(index, self._box.ranges, strict=True)]
        voxels = self._source.read(Roi(*ranges))
        if self.dtype.kind == "u" and voxels.dtype.kind == "i":  # less than 0 is no segment
            voxels = np.maximum(voxels, 0)
        return voxels.astype(self.dtype, copy=False)


def viewer_of(image: str, predictions: Sequence[str], port: int = 0) -> Any:
    """A `neuroglancer.Viewer` of an image with predictions over it, at their places in micrometers.

    Args:
        image: Address of the image.
        predictions: Addresses of what lies over it: classes (one channel of bytes, or wider integers) are shown in
            colors, other values in grey.
        port: Port on 127.0.0.1; any free one by default.

    Raises:
        InputError: neuroglancer is not installed, or an address names no volume.
        SourceError: a volume can't be opened.
    """
    layers = [*_layers("image", image, is_image=True)]
    for number, uri in enumerate(predictions):
        layers += _layers("prediction" if not number else f"prediction {number + 1}", uri, is_image=False)
    try:
        import neuroglancer
    except ImportError:
        raise InputError("view: neuroglancer is not installed; accepted: pip install 'mtneuro-ray[view]'") from None
    neuroglancer.set_server_bind_address("127.0.0.1", bind_port=port)
    viewer = neuroglancer.Viewer()
    with viewer.txn() as state:
        first = layers[0][1]
        for name, source, is_image in layers:
            state.layers[name] = _layer(neuroglancer, source, is_image)
        # In this order, so that the first panel shows slices.
        size, unit = _scales(first)
        state.dimensions = neuroglancer.CoordinateSpace(names=list("xyz"), units=[unit] * 3, scales=size[::-1])
        middle = [low + side / 2 for low, side in zip(_place(first), first.domain.shape, strict=True)]
        state.position = middle[::-1]
        state.layout = "xy" if first.shape[0] < 8 else "4panel"
    return viewer


def _layers(name: str, uri: str, *, is_image: bool) -> Iterator[tuple[str, VolumeSource, bool]]:
    """Name, volume, and whether it is grey, of each channel at an address."""
    volume = open_volume(address_of(uri))
    for number in range(volume.num_channels):
        channel = volume.channel(number)
        is_grey = is_image or volume.num_channels > 1 or channel.dtype.kind not in "iub"
        yield (name if volume.num_channels == 1 else f"{name} {number}"), channel, is_grey


def _place(source: VolumeSource) -> list[float]:
    """Corner of the first voxel, in voxels of the volume: metadata place the middle of voxel 0."""
    size, origin = source.voxel_size_um or (1.0, 1.0, 1.0), source.origin_um or (0.0, 0.0, 0.0)
    return [low + start / side - 0.5 for low, start, side in zip(source.domain.origin, origin, size, strict=True)]


def _scales(source: VolumeSource) -> tuple[list[float], str]:
    """Size of a voxel along z, y, x, and its unit."""
    return list(source.voxel_size_um or (1.0, 1.0, 1.0)), "um" if source.voxel_size_um else ""


def _shown(source: VolumeSource) -> dict[str, list[float]] | None:
    """Range of grey values from black to white, of voxels in the middle of a volume; None for that of its type."""
    if source.dtype == np.uint8:
        return None
    ranges = []
    for (low, high), most in zip(source.domain.ranges, _SAMPLE, strict=True):
        start = low + max(0, high - low - most) // 2
        ranges.append((start, min(high, start + most)))
    values = source.read(Roi(*ranges)).astype(np.float64)
    values = values[np.isfinite(values)]
    darkest, brightest = np.percentile(values, (0.5, 99.5)).tolist() if len(values) else (0.0, 0.0)
    return {"range": [darkest, brightest]} if darkest < brightest else None


def _layer(neuroglancer: Any, source: VolumeSource, is_image: bool) -> Any:
    size, unit = _scales(source)
    space = neuroglancer.CoordinateSpace(names=list("zyx"), units=[unit] * 3, scales=size)
    kind = "image" if is_image else "segmentation"
    volume = neuroglancer.LocalVolume(_Readable(source, is_image), space, volume_type=kind, downsampling="2d")
    matrix = [[float(row == column) for column in range(3)] + [shift] for row, shift in enumerate(_place(source))]
    transform = neuroglancer.CoordinateSpaceTransform(output_dimensions=space, matrix=matrix)
    placed = neuroglancer.LayerDataSource(url=volume, transform=transform)
    if is_image:
        shown = _shown(source)
        return neuroglancer.ImageLayer(source=placed, **({"shader_controls": {"normalized": shown}} if shown else {}))
    colors = dict(enumerate(_COLORS))
    return neuroglancer.SegmentationLayer(
        source=placed, segment_colors=colors, selected_alpha=0.4, hide_segment_zero=True
    )
