"""What is known of a task's volumes without a network, for plans: bounds, bytes and voxel size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.config.task_volumes import volumes_of
from mtneuro_ray.config.volumes import Sizes
from mtneuro_ray.data.ingest import at_target
from mtneuro_ray.data.sampling import check_boxes
from mtneuro_ray.data.voxel_size import before_resampling_um
from mtneuro_ray.volumes.source import VolumeSource, declaration_of, open_volume


@dataclass(frozen=True)
class Offline:
    """The channels of one volume of a task, each opened once where that takes no network.

    Attributes:
        task: The task, or its part in this volume.
        task_file: File of the task, for errors and relative paths.
    """

    task: TaskSettings
    task_file: Path

    @cached_property
    def opened(self) -> dict[str, VolumeSource | None]:
        """Address of each channel, of annotation and of mask -> its volume; None where opening it takes a network.

        Raises:
            InputError: a channel is malformed.
        """
        task = self.task
        uris = (*task.image_addresses, *filter(None, (task.annotation_chan, task.mask_chan)))
        return {
            uri: open_volume(uri, self.task_file.parent) if declaration_of(uri).offline(uri) else None for uri in uris
        }

    def check_bounds(self) -> None:
        """Check the cubes against the bounds of the volume, as far as these are known.

        Raises:
            InputError: a channel is malformed, or a cube leaves its volume.
        """
        size, resamples = self.voxel_size, self.task.target_voxel_size_um is not None
        for uri, source in self.opened.items():
            told = declaration_of(uri).known_shapes
            known = [] if resamples else [shape for prefix, shape in told.items() if uri.startswith(prefix)]
            if source is not None and not (resamples and isinstance(size, str)):
                own = at_target(source, self.task, None if isinstance(size, str) else size, nearest=True)
                known = [own.shape, *known]
            for shape in known:
                check_boxes(self.task, shape, str(self.task_file))

    @property
    def bytes_per_voxel(self) -> list[int]:
        """Transferred bytes per voxel of the image (all channels), and of annotation and mask where they are read.

        Of a volume that can't be opened without a network, an image counts as one channel of a byte, and labels as
        its scheme says.
        """
        task, opened = self.task, self.opened
        images = [opened[uri] for uri in task.image_addresses]
        image = sum(1 if each is None else each.num_channels * each.dtype.itemsize for each in images)
        read = filter(None, (task.annotation_chan, task.mask_chan)) if task.reads_annotation else ()
        labels = [
            declaration_of(uri).label_bytes if (source := opened[uri]) is None else source.dtype.itemsize
            for uri in read
        ]
        return [image, *labels]

    @property
    def voxel_size(self) -> Sizes | str | None:
        """Voxel size z, y, x before resampling, in micrometers; None where nothing says.

        It is a text where the metadata can't be read without a network.
        """
        if (stated := before_resampling_um(self.task)) is not None:
            return stated
        volumes = self.opened.values()
        sizes = [volume.voxel_size_um for volume in volumes if volume is not None and volume.voxel_size_um is not None]
        return sizes[0] if sizes else ("from the volume's metadata" if None in volumes else None)


def known_volumes(task: TaskSettings, task_file: Path) -> dict[str, Offline]:
    """What is known of each volume of a task, by its name, after its cubes were checked against known bounds.

    Raises:
        InputError: a channel is malformed, or a cube leaves its volume.
    """
    found = {name: Offline(part, task_file) for name, part in volumes_of(task).items()}
    for each in found.values():
        each.check_bounds()
    return found
