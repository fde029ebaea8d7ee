"""What a volume holds: its metadata, and grey values or labels of a sample of its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.onboarding.sampled_boxes import read_boxes, spread_boxes
from mtneuro_ray.roi import Shape
from mtneuro_ray.volumes.paths import address_of
from mtneuro_ray.volumes.source import Micrometers, VolumeSource, open_volume

PERCENTILES = (0.1, 1.0, 50.0, 99.0, 99.9)
SAMPLED_VOXELS = 2**22
# Channels that are looked at: an embedding has hundreds.
MOST_CHANNELS = 16
# Labels that are listed one by one.
_LISTED = 64
# Share of neighbours with one value above which whole numbers are taken for labels, and values that are always labels.
_PIECEWISE, _FEW = 0.5, 16

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Inspection:
    """A look at one channel of a volume.

    Attributes:
        uri: Canonical address.
        shape: Voxels along z, y, x.
        dtype: Type of the voxels.
        channels: Channels of the volume.
        voxel_size_um: Micrometers along z, y, x; None where the metadata do not say.
        origin_um: Position of voxel (0, 0, 0) in micrometers; None where the metadata do not say.
        levels: Resolution levels.
        chunk_shape: Voxels of a chunk along z, y, x; None where the volume has none, or does not say.
        sampled_voxels: Voxels that the following figures are of.
        percentiles: Percentile -> value of the finite sampled voxels.
        share_not_finite: Share of NaN and infinity.
        share_lowest: Share of the least value, among the finite ones.
        share_highest: Share of the greatest value, among the finite ones: large where an image is saturated.
        labels: Label -> sampled voxels, the most frequent labels first, where the voxels look like labels; else None.
        num_labels: Number of distinct values, where the voxels look like labels; else None.
    """

    uri: str
    shape: Shape
    dtype: str
    channels: int
    voxel_size_um: Micrometers | None
    origin_um: Micrometers | None
    levels: int
    chunk_shape: Shape | None
    sampled_voxels: int
    percentiles: dict[float, float]
    share_not_finite: float
    share_lowest: float
    share_highest: float
    labels: dict[int, int] | None
    num_labels: int | None

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        values = asdict(self)
        for key in ("percentiles", "labels"):
            if values[key] is not None:
                values[key] = {f"{name:g}" if key == "percentiles" else str(name): n for name, n in values[key].items()}
        return values

    def as_text(self) -> str:
        """All of it, a line for each thing."""
        number = self.shape[0] * self.shape[1] * self.shape[2]
        rows = {
            "shape": f"{_by(self.shape)} (z, y, x), {number / 1e6:.4g} million voxels",
            "type": self.dtype + (f", {self.channels} channels" if self.channels > 1 else ""),
            "voxel size": f"{_by(self.voxel_size_um)} um" if self.voxel_size_um else "not in the metadata",
            "origin": f"{_by(self.origin_um)} um" if self.origin_um else "not in the metadata",
            "levels": str(self.levels),
            "chunks": _by(self.chunk_shape) if self.chunk_shape else "none that are known",
            "sampled": f"{self.sampled_voxels / 1e6:.3g} million voxels ({100 * self.sampled_voxels / number:.3g} %)",
            "percentiles": ", ".join(f"{name:g} %: {value:g}" for name, value in self.percentiles.items()),
            "at the limits": f"{_percent(self.share_lowest)} lowest, {_percent(self.share_highest)} highest value",
        }
        if self.share_not_finite:
            rows["not finite"] = f"{_percent(self.share_not_finite)} NaN or infinite"
        if self.labels is not None:
            rows["labels"] = f"{self.num_labels} distinct: " + ", ".join(
                f"{label} ({_percent(count / self.sampled_voxels)})" for label, count in [*self.labels.items()][:12]
            )
            rows["labels"] += ", ..." if len(self.labels) > 12 else ""
        return "\n".join([self.uri, *(f"  {name:14}{value}" for name, value in rows.items())])


def inspect_volume(uri: str, most_voxels: int = SAMPLED_VOXELS, seed: int = 0) -> list[Inspection]:
    """Look at a volume, at most `most_voxels` voxels of each channel.

    Args:
        uri: Address of a volume, or a path of this machine.
        most_voxels: Upper bound of the voxels that are read of a channel.
        seed: Seed of the places of the boxes that are read.

    Returns:
        An `Inspection` of each of the first 16 channels.

    Raises:
        InputError: there is no such volume.
        SourceError: it can't be read.

    Example:
        >>> [image] = mtneuro_ray.inspect_volume("phantom://thalamocortical/image?seed=0", most_voxels=100_000)
        >>> image.shape, image.dtype, image.labels
        ((720, 1420, 5805), 'uint8', None)
    """
    source = open_volume(address_of(uri))
    return [inspect_channel(channel, source, most_voxels, seed) for channel in channels_of(source, MOST_CHANNELS)]


def inspect_channel(
    source: VolumeSource, whole: VolumeSource, most_voxels: int = SAMPLED_VOXELS, seed: int = 0
) -> Inspection:
    """Look at one channel of the volume `whole`; see `inspect_volume`."""
    boxes = spread_boxes(source.domain, most_voxels, seed=seed)
    parts = [voxels for _, voxels in read_boxes(source, boxes, f"looking at {source.uri}")]
    values = np.concatenate([part.ravel() for part in parts])
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return Inspection(
        uri=source.uri,
        shape=source.shape,
        dtype=str(source.dtype),
        channels=whole.num_channels,
        voxel_size_um=source.voxel_size_um,
        origin_um=source.origin_um,
        levels=whole.levels,
        chunk_shape=source.chunk_shape,
        sampled_voxels=len(values),
        **_grey_values(values, finite),
        **_labels(source, parts, values),
    )


def _grey_values(values: Array, finite: Array) -> dict[str, Any]:
    if not len(finite):
        return {"percentiles": {}, "share_not_finite": 1.0, "share_lowest": 0.0, "share_highest": 0.0}
    numbers = finite.astype(np.float64)
    return {
        "percentiles": {each: float(np.percentile(numbers, each)) for each in PERCENTILES},
        "share_not_finite": 1 - len(finite) / len(values),
        "share_lowest": float((finite == finite.min()).mean()),
        "share_highest": float((finite == finite.max()).mean()),
    }


def _labels(source: VolumeSource, parts: Sequence[Array], values: Array) -> dict[str, Any]:
    if values.dtype.kind == "f":
        return {"labels": None, "num_labels": None}
    found, counts = np.unique(values, return_counts=True)
    if not (source.indexed or len(found) <= _FEW or piecewise(parts) >= _PIECEWISE):
        return {"labels": None, "num_labels": None}
    most = np.argsort(-counts, kind="stable")[:_LISTED]
    return {"labels": {int(found[n]): int(counts[n]) for n in most}, "num_labels": len(found)}


def piecewise(parts: Sequence[Array]) -> float:
    """Share of neighbours along x that have one value, among those of which one is not the most frequent value.

    Labels come in pieces, grey values in noise; an empty background says nothing of either.
    """
    same = pairs = 0
    background = _most_frequent(np.concatenate([part.ravel() for part in parts]))
    for part in parts:
        left, right = part[..., :-1], part[..., 1:]
        foreground = (left != background) | (right != background)
        pairs += int(foreground.sum())
        same += int((foreground & (left == right)).sum())
    return same / pairs if pairs else 1.0


def _most_frequent(values: Array) -> Any:
    found, counts = np.unique(values, return_counts=True)
    return found[counts.argmax()]


def channels_of(source: VolumeSource, most: int | None = None) -> list[VolumeSource]:
    """Every channel of a volume as a volume of its own, or the first so many."""
    return [source.channel(index) for index in range(source.num_channels)[:most]]


def _by(numbers: Sequence[float] | None) -> str:
    return " x ".join(f"{number:g}" for number in numbers or ())


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
