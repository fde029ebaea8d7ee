"""Where a run leaves the images and settings that the benchmark has under the same name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import PurePath
from typing import Any

from mtneuro_ray.config.loading import load_task


@cache
def packaged_task(name: str) -> Mapping[str, Any]:
    """A task as it comes with the package."""
    return load_task(name)[0].model_dump(mode="json")


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


def as_option(key: str, value: Any) -> str:
    """A key and its value as `--set` takes them; of a path only the file."""
    if isinstance(value, str):
        return f"{key}={f'file:{PurePath(value).name}' if value.startswith('file:') else value}"
    return f"{key}={json.dumps(value)}"
