"""Where a run leaves the images that the benchmark has under the same task name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from mtneuro_ray.config.base import flattened
from mtneuro_ray.config.loading import load_network, load_task


@cache
def packaged_task(name: str) -> Mapping[str, Any]:
    """A task as it comes with the package."""
    return load_task(name)[0].model_dump(mode="json")


@cache
def packaged_network(name: str) -> Mapping[str, Any]:
    """The settings of a network as it comes with the package, by path, and as `name` its name in tables."""
    network = load_network(name)[0]
    return {**flattened(network.model_dump(mode="json")), "name": network.table_name}


def changed_images(task: Mapping[str, Any]) -> list[str]:
    """In words, one for each departure of a task's images and boxes from the packaged task of its name."""
    published, changes = packaged_task(task["name"]), []
    if task["tile_size"] != published["tile_size"]:
        changes.append(f"{' x '.join(map(str, dict.fromkeys(task['tile_size'])))} px")
    if task["max_slices"] is not None:
        images = "slices" if task["volume_z"] == 1 else "sub-volumes"
        changes.append(f"at most {task['max_slices']} {images} a cube and split")
    changes.extend(
        f"{key} {task[key]}" for key in ("tile_stride", "volume_z", "downsample") if task[key] != published[key]
    )
    if _boxes(task) not in (_boxes(published), _boxes(published, task["tile_size"])):
        changes.append("other cubes")
    return changes


def _boxes(task: Mapping[str, Any], tile: Sequence[int] | None = None) -> set[tuple[Any, ...]]:
    """Region, split and ranges of each cube, in y and x cut to a tile at its centre, as presets do."""
    found = set()
    for cube in task["cubes"]:
        ranges = [cube["y"], cube["x"]]
        if tile is not None:
            starts = [start + (stop - start - side) // 2 for (start, stop), side in zip(ranges, tile, strict=True)]
            ranges = [[start, start + side] for start, side in zip(starts, tile, strict=True)]
        found.add((cube["region"], cube["split"], *map(tuple, (cube["z"], *ranges))))
    return found
