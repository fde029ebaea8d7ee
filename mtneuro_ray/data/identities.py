"""Which identities of a run's data are those of the image's channels, and which are those of annotation and mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtneuro_ray.config.task import TaskSettings


@dataclass(frozen=True, slots=True)
class Identities:
    """Identities of the volumes that images are read from.

    Attributes:
        images: Image volumes, one per channel.
        annotation: Annotation volume; None where the task reads none.
        mask: Volume that is 0 where the annotation is ignored; None where the task has none.
    """

    images: tuple[str, ...]
    annotation: str | None = None
    mask: str | None = None


def by_role(task: TaskSettings, data: Sequence[str]) -> Identities:
    """The identities of a run's data (`RunSettings.data`), by what they are read for."""
    images, labels = list(data), []
    for is_read in (task.mask_chan is not None, task.reads_annotation):
        labels.append(images.pop() if is_read and len(images) > 1 else None)
    mask, annotation = labels
    return Identities(tuple(images), annotation, mask)
