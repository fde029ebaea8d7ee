"""`mtneuro-ray measure`: from a label volume to counts, sizes, lengths and shares."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

from typer import Option

from mtneuro_ray.cli.completion import names
from mtneuro_ray.cli.options import parse_box, path, written
from mtneuro_ray.errors import InputError
from mtneuro_ray.results.printing import show
from mtneuro_ray.results.tissue.measure import measure
from mtneuro_ray.volumes.address_options import Micrometers, sizes_of

_LABEL = re.compile(r"[+-]?\d{1,20}")


Prediction = Annotated[
    str,
    Option(
        metavar="URI",
        callback=path,
        help="label volume, such as zarr://FOLDER, or a folder that `predict` has written",
    ),
]
Classes = Annotated[
    list[str],
    Option(
        metavar="NAME=LABEL,...",
        help="names of classes and their labels; default: those in the metadata of predictions",
    ),
]
Count = Annotated[
    list[str],
    Option(
        metavar="NAME",
        help="class whose connected components are counted; default: those called cell..., nucle..., soma...",
    ),
]
Length = Annotated[
    list[str],
    Option(
        metavar="NAME",
        help="class whose length is measured by its skeleton; default: those called vessel..., capillar...",
    ),
]
Ignore = Annotated[list[str], Option(metavar="LABEL,...", help="labels of voxels that are not measured")]
Boxes = Annotated[
    list[str],
    Option(metavar="Z0:Z1,Y0:Y1,X0:X1", help="part to measure, in voxels, half-open; default: everything"),
]
Cubes = Annotated[
    str | None,
    Option(
        callback=path,
        autocompletion=names("tasks"),
        help="measure the cubes of this task, by name or path; instead of --box",
    ),
]
RegionUri = Annotated[str | None, Option(metavar="URI", help="volume of region labels, of the same voxels")]
RegionNames = Annotated[list[str], Option(metavar="NAME=LABEL,...", help="names of its labels; default: the labels")]
VoxelSize = Annotated[
    str | None,
    Option(metavar="Z,Y,X", help="sides of a voxel in micrometers, or one number; default: the metadata's"),
]
MinVoxels = Annotated[int, Option(metavar="N", min=1, max=2**31, help="leave out components of fewer voxels")]
To = Annotated[str | None, Option(metavar="FILE.parquet", callback=written, help="write one row per component")]


def run_measure(
    prediction: Prediction,
    classes: Classes = [],
    count: Count = [],
    length: Length = [],
    ignore: Ignore = [],
    box: Boxes = [],
    task: Cubes = None,
    regions: RegionUri = None,
    region_names: RegionNames = [],
    voxel_size: VoxelSize = None,
    min_voxels: MinVoxels = 1,
    format: Annotated[Literal["table", "json"], Option()] = "table",
    to: To = None,
) -> int:
    """Measure a label volume."""
    if to is not None and not to.endswith(".parquet"):
        raise InputError(f"--to: {to}: accepted: a path that ends in .parquet")
    found = measure(
        prediction,
        classes=_labels("--classes", classes) or None,
        count=count or None,
        length=length or None,
        ignore=[_label("--ignore", text) for word in ignore for text in word.split(",")],
        boxes=[parse_box("--box", text) for text in box],
        task=task,
        regions=regions,
        region_names={label: name for name, label in _labels("--region-names", region_names).items()},
        voxel_size_um=None if voxel_size is None else parse_voxel_size("--voxel-size", voxel_size),
        min_voxels=min_voxels,
    )
    if to is not None:
        found.write_components(to)
    if format == "json":
        print(json.dumps(found.to_dict(), indent=1))
    else:
        show(found.tables())
    return 0


def parse_voxel_size(option: str, text: str) -> Micrometers:
    """The three micrometers in `z,y,x`, or one number for all.

    Raises:
        InputError: it is malformed, or not above 0.
    """
    try:
        return sizes_of(text)
    except ValueError:
        raise InputError(
            f"{option}: {text!r} is no size; accepted: Z,Y,X or one number, in micrometers, above 0"
        ) from None


def _labels(option: str, words: list[str]) -> dict[str, int]:
    """Names and labels in `name=label,name=label`."""
    found: dict[str, int] = {}
    for part in (part.strip() for word in words for part in word.split(",")):
        name, _, label = part.rpartition("=")
        if not name or name in found:
            problem = f"{name!r} stands twice" if name else f"{part!r} is no NAME=LABEL"
            raise InputError(f"{option}: {problem}; accepted: NAME=LABEL,NAME=LABEL,...")
        found[name] = _label(option, label)
    return found


def _label(option: str, text: str) -> int:
    if not _LABEL.fullmatch(text.strip()):
        raise InputError(f"{option}: {text!r} is no label; accepted: a whole number")
    return int(text)
