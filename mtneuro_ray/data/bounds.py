"""What is known of volumes before any of them is asked: for plans, and for mistakes found early."""

from __future__ import annotations

from pathlib import Path

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.sampling import check_boxes
from mtneuro_ray.roi import Shape
from mtneuro_ray.volumes.source import open_volume, scheme_of

# prasad2020, z, y, x (PROTOCOL, Data). Both projects share its frame.
_KNOWN: dict[str, Shape] = {"bossdb://prasad/": (720, 1420, 5805)}
# Schemes whose bounds are found without a network and without reading voxels.
_LOCAL = ("phantom", "file")
# BossDB serves labels with 64 bits, files of labels here have 8.
_LABEL_BYTES = {"bossdb": 8, "phantom": 8}


def check_known_bounds(task: TaskSettings, task_file: Path) -> None:
    """Check a task's cubes against its volumes, as far as their bounds are known without a network.

    Raises:
        InputError: a channel is malformed, or a cube leaves its volume.
    """
    channels = [task.image_chan, *([task.annotation_chan] if task.annotation_chan else [])]
    for uri in channels:
        if scheme_of(uri) in _LOCAL:
            check_boxes(task, open_volume(uri, task_file.parent).shape, str(task_file))
        for prefix, shape in _KNOWN.items():
            if uri.startswith(prefix):
                check_boxes(task, shape, str(task_file))


def bytes_per_voxel(task: TaskSettings) -> list[int]:
    """Bytes that a voxel of each channel takes on its way from the source, image first."""
    reads_annotation = task.annotation_chan is not None and task.label_map is not None
    label = [_LABEL_BYTES.get(scheme_of(str(task.annotation_chan)), 1)] if reads_annotation else []
    return [1, *label]
