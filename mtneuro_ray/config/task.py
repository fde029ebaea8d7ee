"""The native task format: boxes of a volume to train, validate and test on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from mtneuro_ray.config.base import Count, Label, Name, Positive, Settings
from mtneuro_ray.config.label_keys import (
    Absent,
    AnnotatedBox,
    LabelKey,
    LabelRange,
    SomeLabels,
    annotated_in,
    annotated_parts,
    check_annotated,
    check_label_keys,
    class_named,
    label_range,
)
from mtneuro_ray.config.sampling import SamplingSettings
from mtneuro_ray.config.volumes import Addresses, Sizes, VolumeSettings, VoxelSize, addresses_of, size_in
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry
from mtneuro_ray.roi import Roi, Shape

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

REGIONS = ("CTX", "STR", "VP", "ZI")
# Label of prasad_analysis/roi_labels -> index into REGIONS (PROTOCOL, Data).
ROI_LABEL_TO_REGION = {0: 0, 1: 0, 2: 1, 8: 1, 3: 2, 4: 2, 5: 3, 6: 3, 7: 3}

# Labels are stored in one byte; one value is reserved for "no class".
MAX_CLASSES = 255
# The images of a task are listed in memory; larger tasks are most likely a mistake in a cube.
MOST_IMAGES = 10_000_000


class Cube(Settings):
    """One box of the volume in one region and one split; ranges are half-open."""

    region: Label
    split: Split
    z: tuple[Count, Count]
    y: tuple[Count, Count]
    x: tuple[Count, Count]
    volume: Label | None = None
    """Name in `volumes` of the volume that the cube lies in; the task's own channels by default."""
    label: Count | None = None
    """Class of the images, as an index into `classes`; required by classification tasks, unused by others."""

    @property
    def roi(self) -> Roi:
        """Box of the cube."""
        return Roi(self.z, self.y, self.x)


class TaskSettings(Settings):
    """A benchmark task over a volume (paper, Tables A1 and A2; PROTOCOL, Data)."""

    name: Name
    """Name in tables, trial names and files; different for each task of a sweep."""
    task: Name
    """Kind of task: classification, segmentation, readout, or one of a plugin."""
    image_chan: Addresses
    """Address of the image volume: a scheme with a path, such as bossdb://..., zarr://... or file:image.npy; or a list,
    the channels in order. A volume of several channels gives all of them."""
    annotation_chan: Label | None = None
    """Address of the label volume; not needed if the cubes' own labels are the only ones."""
    classes: Annotated[tuple[Label, ...], Field(min_length=2, max_length=MAX_CLASSES)]
    """Names of the classes, in the order of their indices."""
    tile_size: tuple[Positive, Positive]
    """Height and width of an image, in voxels of the volume."""
    tile_stride: tuple[Positive, Positive] | tuple[Positive, Positive, Positive] | None = None
    """Step from one image of a cube to the next along y and x, or along z, y and x; the image's own size by default."""
    volume_z: Positive = 1
    """Consecutive slices of an image: 1 is 2D. Images of a cube share slices only with a `tile_stride` along z."""
    downsample: Positive = 1
    """Area-averaging factor along y and x."""
    max_slices: Positive | None = None
    """Largest number of (groups of `volume_z`) slices of each cube, evenly spread; all by default."""
    sampling: SamplingSettings = SamplingSettings()
    """Training images: tiles on a grid, or patches at random places."""
    voxel_size_um: VoxelSize = None
    """Edges of a voxel z, y, x before downsampling, in micrometers, or one number for all; the volume's by default."""
    volumes: dict[Label, VolumeSettings] = Field(default_factory=dict)
    """Further volumes, by names that cubes refer to."""
    target_voxel_size_um: Sizes | None = None
    """Voxel size z, y, x to resample to: images between the nearest voxels, labels by the nearest. Cubes and tiles are
    then in voxels of that size. The volume's own by default."""
    encoder_task: str | None = None
    """For a readout, the task that trains the encoder, by name or path relative to this file; task1 by default."""
    annotation_map: dict[LabelKey, Count] | None = None
    """Class of each label in the annotation, or of a range such as "1-255" (both ends included); in segmentation a
    label is its own class by default."""
    unlisted_labels: Count | Label = "refuse"
    """What labels outside of the map are: an error ("refuse"; in classification the cube's own label counts), not
    annotated ("ignore"), or all one class, by name or index."""
    ignore_labels: tuple[SomeLabels, ...] = ()
    """Labels of voxels that are not annotated: they take part in no loss and no metric."""
    mask_chan: Label | None = None
    """Address of a volume that is 0 where the annotation is to be ignored."""
    annotated: Annotated[tuple[AnnotatedBox, ...], Field(min_length=1)] | None = None
    """Boxes or slices (z, y, x) outside of which nothing is annotated; a volume without any is annotated everywhere."""
    absent: Absent = "leave_out"
    """Score of a class without one voxel in a split: none, so it is left out of means, or 1 (the paper's rule)."""
    cubes: Annotated[tuple[Cube, ...], Field(min_length=1)]
    """Boxes that images are cut from: each with its region, split, ranges of z, y, x (half-open) and label."""

    @property
    def image_addresses(self) -> tuple[str, ...]:
        """Addresses of the image volumes."""
        return addresses_of(self.image_chan)

    @property
    def stated_voxel_size_um(self) -> float | Sizes | None:
        """Voxel size of the cubes as far as the task says it: by its keys, or in an address by `?voxel_size=`."""
        labels = (address for address in (self.annotation_chan, self.mask_chan) if address is not None)
        return self.target_voxel_size_um or self.voxel_size_um or size_in((*self.image_addresses, *labels))

    @property
    def reads_annotation(self) -> bool:
        """Whether the annotation volume is read."""
        return self.annotation_chan is not None and self.label_map is not None

    @property
    def addresses(self) -> list[str]:
        """Addresses of the volumes that are read: image, annotation, mask."""
        found: list[str] = []
        every: tuple[TaskSettings | VolumeSettings, ...] = (self, *self.volumes.values())
        for each in every:
            labels = (each.annotation_chan if self.reads_annotation else None, each.mask_chan)
            found += [*addresses_of(each.image_chan), *(address for address in labels if address is not None)]
        return found

    def count_channels(self, data: Sequence[str]) -> int:
        """Channels of the image, from the identities of the volumes that are read."""
        parts: tuple[TaskSettings | VolumeSettings, ...] = (self, *self.volumes.values())
        labels = sum(int(self.reads_annotation) + int(each.mask_chan is not None) for each in parts)
        return max(1, (len(data) - labels) // len(parts))

    @property
    def image_size(self) -> Shape:
        """Voxels of an image along z, y, x, before downsampling."""
        return (self.volume_z, *self.tile_size)

    @property
    def stride(self) -> Shape:
        """Step between images along z, y, x."""
        steps = self.tile_stride or self.tile_size
        return steps if len(steps) == 3 else (self.volume_z, *steps)

    def windows(self, cube: Cube) -> Sequence[int]:
        """First slices of all groups of `volume_z` slices in a cube, before `max_slices`."""
        return self.sampling.starts(cube.z, self.volume_z, self.stride[0])

    def tile_starts(self, cube: Cube) -> tuple[Sequence[int], Sequence[int]]:
        """First rows and first columns of the images of a cube."""
        (height, width), (_, step_y, step_x), starts = self.tile_size, self.stride, self.sampling.starts
        return starts(cube.y, height, step_y), starts(cube.x, width, step_x)

    def count_images(self, cube: Cube) -> int:
        """Number of images of a cube."""
        rows, columns = self.tile_starts(cube)
        windows = len(self.windows(cube))
        return min(windows, self.max_slices or windows) * len(rows) * len(columns)

    @property
    def label_map(self) -> dict[LabelRange, int] | None:
        """Class of each range of labels in the annotation; None if the cubes' own labels are the only ones."""
        if self.annotation_map is not None:
            return {label_range(key): value for key, value in self.annotation_map.items()}
        if self.declaration.labels == "image":
            regions = {(label, label): value for label, value in ROI_LABEL_TO_REGION.items()}
            return regions if self.classes == REGIONS else None
        return {(label, label): label for label in range(len(self.classes))}

    @property
    def ignored_ranges(self) -> list[LabelRange]:
        """Ranges of labels that are not annotated."""
        return [label_range(str(label)) for label in self.ignore_labels]

    @property
    def unlisted_class(self) -> int | None:
        """Class of labels outside of the map; None where they are refused or ignored."""
        if self.unlisted_labels in ("refuse", "ignore"):
            return None
        return class_named(self.unlisted_labels, self.classes, "unlisted_labels")

    @property
    def ignoring(self) -> tuple[str, ...]:
        """Keys by which voxels of the annotation are ignored."""
        given = {
            "ignore_labels": bool(self.ignore_labels),
            "mask_chan": self.mask_chan is not None,
            "annotated": self.annotated is not None,
            "unlisted_labels": self.unlisted_labels == "ignore",
        }
        return tuple(key for key, is_given in given.items() if is_given)

    @property
    def declaration(self) -> Any:
        """Declaration of the kind of task, a `tasks.base.TaskDeclaration`."""
        return registry("tasks").find(self.task)

    def check(self, where: str) -> None:
        """Check kind, classes, labels, cubes, splits and sizes."""
        registry("tasks").find(self.task, f"{where}: task")
        self.sampling.check_task(self, where)
        if len(set(self.classes)) < len(self.classes):
            raise InputError(f"{where}: classes: a name stands twice; accepted: distinct names")
        self._check_labels(where)
        for number, cube in enumerate(self.cubes):
            self._check_cube(where, number, cube)
        self._check_splits(where)
        if (images := sum(self.count_images(cube) for cube in self.cubes)) > MOST_IMAGES:
            raise InputError(
                f"{where}: cubes: hold {images} images of tile_size {list(self.tile_size)}; accepted: at most "
                f"{MOST_IMAGES}; set max_slices, or make cubes smaller"
            )
        for axis, size in zip("yx", self.tile_size, strict=True):
            if size % self.downsample:
                raise InputError(
                    f"{where}: downsample: {self.downsample} does not divide tile_size {size} ({axis}); "
                    "accepted: a divisor of both sides"
                )

    def _check_labels(self, where: str) -> None:
        if self.encoder_task is not None and not self.declaration.reads_encoder:
            raise InputError(f"{where}: encoder_task: belongs to a readout, not to {self.task}; accepted: leave it out")
        top = len(self.classes) - 1
        check_label_keys(self.annotation_map, self.ignore_labels, len(self.classes), where)
        check_annotated(self.annotated or (), where)
        if self.unlisted_labels not in ("refuse", "ignore"):
            class_named(self.unlisted_labels, self.classes, f"{where}: unlisted_labels")
        if self.declaration.needs_annotation and self.annotation_chan is None:
            raise InputError(f"{where}: annotation_chan: is missing; a {self.task} task requires it")
        self._check_ignoring(where)
        if self.declaration.labels != "image":
            return
        for number, cube in enumerate(self.cubes):
            if cube.label is None:
                accepted = f"0 to {top}, the class of its images in `classes`"
                raise InputError(f"{where}: cubes.{number}.label: is missing; accepted: {accepted}")
            if cube.label > top:
                problem = f"{cube.label} is outside the classes"
                raise InputError(f"{where}: cubes.{number}.label: {problem}; accepted: 0 to {top}")

    def _check_ignoring(self, where: str) -> None:
        """Check that keys which ignore voxels have an annotation to ignore parts of."""
        keys = (*self.ignoring, *(["unlisted_labels"] if self.unlisted_class is not None else []))
        if keys and (self.annotation_chan is None or self.label_map is None):
            missing = "annotation_chan" if self.annotation_chan is None else "annotation_map"
            raise InputError(f"{where}: {keys[0]}: there is no annotation to read; accepted: with {missing}")
        if self.ignoring and self.declaration.labels == "corner":
            raise InputError(
                f"{where}: {self.ignoring[0]}: a {self.task} task counts and measures cells, so it needs every voxel "
                "annotated; accepted: leave it out"
            )

    def _check_cube(self, where: str, number: int, cube: Cube) -> None:
        try:
            depth, height, width = cube.roi.shape
        except ValueError as error:
            raise InputError(f"{where}: cubes.{number}: {error}") from None
        tile_y, tile_x = self.tile_size
        if tile_y > height or tile_x > width:
            raise InputError(
                f"{where}: tile_size: {tile_y} x {tile_x} is larger than cube {number} ({cube.region}, "
                f"{height} x {width}); accepted: at most the smallest cube"
            )
        if self.volume_z > depth:
            raise InputError(
                f"{where}: volume_z: {self.volume_z} slices do not fit into cube {number} ({cube.region}, "
                f"{cube.split}, {depth} slices); accepted: 1 to {depth}"
            )

    def _check_splits(self, where: str) -> None:
        required = self.declaration.required_splits
        present = {cube.split for cube in self.cubes}
        for split in required:
            if split not in present:
                raise InputError(
                    f"{where}: cubes: split {split} is empty; accepted: a cube in each of {', '.join(required)}"
                )
        for split in dict.fromkeys(cube.split for cube in self.cubes):
            own = [(annotated_in(self.annotated, cube.volume), cube) for cube in self.cubes if cube.split == split]
            if not any(boxes is None or annotated_parts(boxes, cube.roi) for boxes, cube in own):
                raise InputError(
                    f"{where}: annotated: no voxel of the {split} split is annotated; accepted: a box or slice in one "
                    "of its cubes"
                )
        # Not at the top: that module imports this one.
        from mtneuro_ray.config.task_volumes import check_volumes

        check_volumes(self, where)
