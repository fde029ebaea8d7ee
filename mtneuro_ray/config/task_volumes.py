"""A task over several volumes as one task for each of them."""

from __future__ import annotations

from itertools import combinations

from mtneuro_ray.config.label_keys import annotated_in
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.errors import InputError

OWN = ""
"""Name of the volume of the task's own channels."""
SHOWN_OWN = "own"
"""The same at the command line."""


def volumes_of(task: TaskSettings) -> dict[str, TaskSettings]:
    """The part of a task in each of its volumes: the task's own channels first, under the name OWN.

    A part has the cubes of its volume, of which there may be none in a split, or none at all.
    """
    found = {OWN: _part(task, OWN, {})}
    for name, volume in task.volumes.items():
        found[name] = _part(task, name, {key: getattr(volume, key) for key in type(volume).model_fields})
    return found


def _part(task: TaskSettings, name: str, channels: dict[str, object]) -> TaskSettings:
    cubes = tuple(cube for cube in task.cubes if (cube.volume or OWN) == name)
    boxes = annotated_in(task.annotated, name or None)
    return task.model_copy(update={**channels, "cubes": cubes, "annotated": boxes, "volumes": {}})


def check_volumes(task: TaskSettings, where: str) -> None:
    """Check that cubes name the task's volumes, and that splits share no voxel of any of them.

    Raises:
        InputError: they don't.
    """
    known = ", ".join(task.volumes) or "leave it out"
    for number, cube in enumerate(task.cubes):
        if cube.volume is not None and cube.volume not in task.volumes:
            raise InputError(f"{where}: cubes.{number}.volume: {cube.volume!r} is none; accepted: {known}")
    for number, box in enumerate(task.annotated or ()):
        if box.volume is not None and box.volume not in task.volumes:
            raise InputError(f"{where}: annotated.{number}.volume: {box.volume!r} is none; accepted: {known}")
    named = {cube.volume for cube in task.cubes}
    for name, volume in task.volumes.items():
        if name not in named:
            raise InputError(f"{where}: volumes.{name}: no cube is in it; accepted: leave it out")
        if task.reads_annotation and volume.annotation_chan is None:
            raise InputError(f"{where}: volumes.{name}.annotation_chan: is missing; the task's own volume has one")
    if task.volumes and task.declaration.labels == "corner":
        raise InputError(f"{where}: volumes: a {task.task} task reads one volume; accepted: leave it out")
    for (i, a), (j, b) in combinations(enumerate(task.cubes), 2):
        shared = a.roi.intersection(b.roi)
        if a.split != b.split and a.volume == b.volume and shared:
            raise InputError(
                f"{where}: cubes.{j}: overlaps cubes.{i} ({a.split} and {b.split} share {shared}); accepted: "
                "splits without common voxels"
            )
