"""What is asked for, and what the volumes are found to hold: the facts that a project is fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mtneuro_ray.data.ingest import check_shape
from mtneuro_ray.errors import InputError
from mtneuro_ray.onboarding.annotation import annotated_boxes
from mtneuro_ray.onboarding.inspection import Inspection, channels_of, inspect_channel
from mtneuro_ray.onboarding.label_scan import LabelScan, scan_labels
from mtneuro_ray.onboarding.texture_length import Texture, correlation_lengths
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.labels import as_labels
from mtneuro_ray.volumes.paths import address_of
from mtneuro_ray.volumes.source import Micrometers, VolumeSource, open_volume

Kind = Literal["segmentation", "classification", "readout"]
# Channels of which the texture is measured; more would only repeat it.
_MEASURED = 3


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody asks for.

    Attributes:
        image: Address or path of the image.
        labels: Address or path of the labels.
        mask: Address or path of a volume that is 0 where the labels count for nothing.
        task: Kind of task.
        classes: Names of the classes, in ascending order of their labels; made from the labels by default.
        dim: 2 for slices, 3 for volumes; by the data and the machine by default.
        dense: The labels are dense even where they look sparse.
        seed: Seed of the places that are read.
    """

    image: str
    labels: str | None = None
    mask: str | None = None
    task: Kind = "segmentation"
    classes: tuple[str, ...] = ()
    dim: Literal[2, 3] | None = None
    dense: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the volumes hold.

    Attributes:
        image: The image, with all its channels.
        looks: A look at each of its channels.
        texture: Correlation lengths along z, y, x, the longest of the channels.
        labels: The labels.
        mask: The mask, where there is one.
        scan: Labels where they lie; None for regions, which `classification` looks for by images.
        slices: Slices that alone are annotated; None where there are no such.
        boxes: Boxes that alone are annotated; None where there are no such.
    """

    image: VolumeSource
    looks: tuple[Inspection, ...]
    texture: tuple[Texture, Texture, Texture]
    labels: VolumeSource
    mask: VolumeSource | None
    scan: LabelScan | None
    slices: tuple[int, ...] | None
    boxes: tuple[Roi, ...] | None = None

    @property
    def voxel_size_um(self) -> Micrometers | None:
        """Micrometers along z, y, x."""
        return self.image.voxel_size_um

    @property
    def anisotropy(self) -> float:
        """How much coarser z is than y and x: by voxel size, else by the correlation lengths."""
        if self.voxel_size_um is not None:
            return self.voxel_size_um[0] / min(self.voxel_size_um[1:])
        z, y, x = (each.length for each in self.texture)
        return min(y, x) / z

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the image's voxels."""
        return self.image.dtype


def look_at(wishes: Wishes) -> Facts:
    """Open the volumes, check that they fit together, and look at a bounded number of their voxels.

    Raises:
        InputError: a volume does not exist, is missing for the task, or does not lie on the image.
        SourceError: a volume can't be read.
    """
    if wishes.labels is None:
        raise InputError(f"--labels: is missing; a {wishes.task} task requires it, accepted: an address or a path")
    image = open_volume(address_of(wishes.image))
    labels = as_labels(open_volume(address_of(wishes.labels)))
    mask = as_labels(open_volume(address_of(wishes.mask))) if wishes.mask else None
    for option, other in (("--labels", labels), ("--mask", mask)):
        if other is not None:
            _check_on(image, other, option)
    channels = channels_of(image)
    looks = tuple(inspect_channel(channel, image, seed=wishes.seed) for channel in channels)
    if image.indexed:
        raise InputError(f"--image: {image.uri} has a palette, its values are indices; accepted: greyscale pictures")
    lengths = [correlation_lengths(channel, wishes.seed) for channel in channels[:_MEASURED]]
    z, y, x = (max(along, key=lambda each: each.length) for along in zip(*lengths, strict=True))
    scan = (
        None
        if wishes.task == "classification"
        else scan_labels(labels, mask, num_classes=len(wishes.classes), seed=wishes.seed)
    )
    may_be_sparse = scan is not None and not wishes.dense and wishes.task == "segmentation"
    slices = scan.annotated_slices if scan is not None and may_be_sparse else None
    boxes = annotated_boxes(scan) if scan is not None and may_be_sparse and slices is None else None
    return Facts(image, looks, (z, y, x), labels, mask, scan, slices, boxes)


def _check_on(image: VolumeSource, other: VolumeSource, option: str) -> None:
    if other.num_channels > 1:
        raise InputError(f"{option}: {other.uri} has {other.num_channels} channels; accepted: one, such as ?channel=0")
    check_shape(option, other, image)
