"""What is known of a task's volumes without a network, for plans: bounds, bytes and voxel size."""

from __future__ import annotations

from pathlib import Path

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.task_volumes import volumes_of
from mtneuro_ray.data.ingest import at_target
from mtneuro_ray.data.sampling import check_boxes
from mtneuro_ray.volumes.source import declaration_of, open_volume


def check_known_bounds(task: TaskSettings, task_file: Path) -> None:
    """Check a task's cubes against its volumes, as far as their bounds are known without a network.

    Raises:
        InputError: a channel is malformed, or a cube leaves its volume.
    """
    if task.volumes:
        for part in volumes_of(task).values():
            check_known_bounds(part, task_file)
        return
    for uri in (*task.image_addresses, *filter(None, (task.annotation_chan, task.mask_chan))):
        declaration = declaration_of(uri)
        known = [shape for prefix, shape in declaration.known_shapes.items() if uri.startswith(prefix)]
        if task.target_voxel_size_um is not None:
            known = []
        if declaration.offline(uri):
            known = [at_target(open_volume(uri, task_file.parent), task, nearest=True).shape, *known]
        for shape in known:
            check_boxes(task, shape, str(task_file))


def bytes_per_voxel(task: TaskSettings, task_file: Path) -> list[int]:
    """Transferred bytes per voxel of the image (all channels), and of annotation and mask where they are read.

    A channel of an image that can't be opened without a network counts as a byte.
    """
    image = 0
    for uri in task.image_addresses:
        opened = open_volume(uri, task_file.parent) if declaration_of(uri).offline(uri) else None
        image += 1 if opened is None else opened.num_channels * opened.dtype.itemsize
    read = [task.annotation_chan, task.mask_chan] if task.reads_annotation else []
    return [image, *(declaration_of(uri).label_bytes for uri in read if uri is not None)]
