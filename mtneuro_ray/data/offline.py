"""What is known of a task's volumes without a network, for plans: bounds, bytes and voxel size."""

from __future__ import annotations

from pathlib import Path

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.task_volumes import volumes_of
from mtneuro_ray.config.volumes import Sizes
from mtneuro_ray.data.ingest import at_target
from mtneuro_ray.data.sampling import check_boxes
from mtneuro_ray.data.voxel_size import before_resampling_um
from mtneuro_ray.volumes.source import VolumeSource, declaration_of, open_volume


def check_known_bounds(task: TaskSettings, task_file: Path) -> None:
    """Check a task's cubes against its volumes, as far as their bounds are known without a network.

    Raises:
        InputError: a channel is malformed, or a cube leaves its volume.
    """
    if task.volumes:
        for part in volumes_of(task).values():
            check_known_bounds(part, task_file)
        return
    size = known_voxel_size(task, task_file)
    for uri in (*task.image_addresses, *filter(None, (task.annotation_chan, task.mask_chan))):
        declaration = declaration_of(uri)
        known = [shape for prefix, shape in declaration.known_shapes.items() if uri.startswith(prefix)]
        if task.target_voxel_size_um is not None:
            known = []
        if (opened := opened_offline(uri, task_file)) is not None and (
            task.target_voxel_size_um is None or not isinstance(size, str)
        ):
            known = [at_target(opened, task, None if isinstance(size, str) else size, nearest=True).shape, *known]
        for shape in known:
            check_boxes(task, shape, str(task_file))


def opened_offline(uri: str, task_file: Path) -> VolumeSource | None:
    """The volume of an address; None where opening it takes a network."""
    return open_volume(uri, task_file.parent) if declaration_of(uri).offline(uri) else None


def bytes_per_voxel(task: TaskSettings, task_file: Path) -> list[int]:
    """Transferred bytes per voxel of the image (all channels), and of annotation and mask where they are read.

    Of a volume that can't be opened without a network, an image counts as one channel of a byte, and labels as its
    scheme says.
    """
    image = 0
    for uri in task.image_addresses:
        opened = opened_offline(uri, task_file)
        image += 1 if opened is None else opened.num_channels * opened.dtype.itemsize
    labels = []
    for address in (task.annotation_chan, task.mask_chan) if task.reads_annotation else ():
        if address is not None:
            opened = opened_offline(address, task_file)
            labels.append(declaration_of(address).label_bytes if opened is None else opened.dtype.itemsize)
    return [image, *labels]


def known_voxel_size(task: TaskSettings, task_file: Path) -> Sizes | str | None:
    """Voxel size z, y, x of a task's volume before resampling, in micrometers; None where nothing says.

    It is a text where the metadata can't be read without a network.
    """
    if (stated := before_resampling_um(task)) is not None:
        return stated
    uris = [*task.image_addresses, *filter(None, (task.annotation_chan, task.mask_chan))]
    volumes = [opened_offline(uri, task_file) for uri in uris]
    sizes = [volume.voxel_size_um for volume in volumes if volume is not None and volume.voxel_size_um is not None]
    return sizes[0] if sizes else ("from the volume's metadata" if None in volumes else None)
