"""Bounds of volumes that are known without a network, so that mistakes are found before anything is read."""

from __future__ import annotations

from pathlib import Path

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.sampling import check_boxes
from mtneuro_ray.volumes.source import declaration_of, open_volume


def check_known_bounds(task: TaskSettings, task_file: Path) -> None:
    """Check a task's cubes against its volumes, as far as their bounds are known without a network.

    Raises:
        InputError: a channel is malformed, or a cube leaves its volume.
    """
    channels = [task.image_chan, *([task.annotation_chan] if task.annotation_chan else [])]
    for uri in channels:
        declaration = declaration_of(uri)
        if declaration.offline(uri):
            check_boxes(task, open_volume(uri, task_file.parent).shape, str(task_file))
        for prefix, shape in declaration.known_shapes.items():
            if uri.startswith(prefix):
                check_boxes(task, shape, str(task_file))


def bytes_per_voxel(task: TaskSettings) -> list[int]:
    """Bytes per voxel that each channel takes on its way from the source, image first."""
    reads_annotation = task.annotation_chan is not None and task.label_map is not None
    return [1, *([declaration_of(str(task.annotation_chan)).label_bytes] if reads_annotation else [])]
