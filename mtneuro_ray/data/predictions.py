"""Predicted classes of a run on disk: a Zarr 3 group with one OME-NGFF 0.5 image per cube.

    <run_id>.zarr     attributes: run, model, task, split, classes, identity of the data
        CTX           attributes: place in the volume, plain and as OME-NGFF coordinates
            0         uint8, axes z, y, x; 255 where nothing was predicted

The root's zarr.json is written last: a folder with it is complete.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorstore as ts

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.config.volumes import Sizes, sides_um
from mtneuro_ray.data.mosaic import EMPTY, Mosaic
from mtneuro_ray.data.voxel_size import from_json, voxel_size_um
from mtneuro_ray.errors import parsing
from mtneuro_ray.storage.folder import Folder

FOLDER = "predictions"
FORMAT_VERSION = 1

_META = "zarr.json"
_PLAIN = ("run_id", "model", "task", "split", "voxel_size_um")
_DRIVER = {"driver": "zarr3", "kvstore": {"driver": "memory"}}
# Voxels of a chunk: what a viewer fetches for one view, and the cutouts that training reads.
_CHUNK = (32, 256, 256)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predicted classes of a run for one split.

    Attributes:
        model: Name of the network in tables.
        classes: Names of the classes, in the order of their values.
        data: Identities of the volumes, image first.
        voxel_size_um: Sides of a voxel z, y, x in micrometers, or one number for all; None where they are not known.
        cubes: One mosaic of classes per cube of the split, in the order of the task.
    """

    run_id: str
    model: str
    task: str
    split: Split
    classes: tuple[str, ...]
    data: tuple[str, ...]
    voxel_size_um: float | Sizes | None
    cubes: tuple[Mosaic, ...]

    @classmethod
    def of(
        cls, run: RunSettings, split: Split, cubes: Sequence[Mosaic], about: Mapping[str, Any] | None = None
    ) -> Predictions:
        """The predictions of a run; `about` is what the metadata of its image said (`CutoutStore.about`)."""
        size = voxel_size_um(run.task, about)
        return cls(run.run_id, run.model, run.task.name, split, run.task.classes, run.data, size, tuple(cubes))


def place_of(out: Folder, run_id: str, split: Split = "test") -> Folder:
    """Folder of a run's predictions in an output folder; the name of other splits than test ends in the split."""
    return out / FOLDER / (f"{run_id}.zarr" if split == "test" else f"{run_id}-{split}.zarr")


def write(place: Folder, predictions: Predictions) -> None:
    """Write predictions, whole or not at all; what was there before is replaced."""
    files = dict(_files(predictions))
    if not place.is_local:
        # Readers look for the root first: without it the folder does not exist for them.
        place.delete(_META)
        for name, content in files.items():
            place.write(name, content)
        return
    path = place.local_path
    unfinished, old = (path.with_name(f".partial-{path.name}-{uuid.uuid4().hex}") for _ in range(2))
    try:
        for name, content in files.items():
            Folder(unfinished).write(name, content)
        if path.exists():
            os.replace(path, old)
        os.replace(unfinished, path)
    finally:
        for leftover in (unfinished, old):
            shutil.rmtree(leftover, ignore_errors=True)


def exist(place: Folder) -> bool:
    """Whether there are predictions."""
    return place.exists(_META)


def are_at(place: Folder) -> bool:
    """Whether a folder holds predictions of a run, and no other kind of Zarr node."""
    try:
        return "cubes" in json.loads(place.read(_META))["attributes"]
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return False


def read(place: str | os.PathLike[str] | Folder) -> Predictions:
    """The predictions in a folder that `write` has written.

    Raises:
        InputError: there are none, or they are damaged.
    """
    folder = place if isinstance(place, Folder) else Folder(place)
    accepted = "what `mtneuro-ray predict` has written"
    with parsing(folder, "set of predictions of this version", accepted, missing="holds no predictions"):
        about = json.loads(folder.read(_META))["attributes"]
        if about["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format version {about['format_version']}")
        cubes = tuple(_read_cube(folder, name) for name in about["cubes"])
        plain = {key: about[key] for key in _PLAIN}
        plain["voxel_size_um"] = from_json(plain["voxel_size_um"])
        found = Predictions(**plain, classes=tuple(about["classes"]), data=tuple(about["data"]), cubes=cubes)
    return found


def _files(predictions: Predictions) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files, the root's last."""
    names = _names([cube.region for cube in predictions.cubes])
    for name, cube in zip(names, predictions.cubes, strict=True):
        yield from _array_files(f"{name}/0/", cube)
        yield f"{name}/{_META}", _group(_about_cube(predictions, name, cube))
    about = {
        "format_version": FORMAT_VERSION,
        **{key: getattr(predictions, key) for key in _PLAIN},
        "classes": list(predictions.classes),
        "data": list(predictions.data),
        "not_predicted": EMPTY,
        "overlapping_tiles": "the later tile, in the order z, y, x, wins",
        "cubes": names,
    }
    yield _META, _group(about)


def _names(regions: Sequence[str]) -> list[str]:
    """Folder name of each cube: its region, numbered where a region has several."""
    safe = ["".join(c if c.isalnum() or c in "_-" else "_" for c in region) or "cube" for region in regions]
    seen: Counter[str] = Counter()
    names = []
    for name in safe:
        seen[name] += 1
        names.append(f"{name}.{seen[name]}" if safe.count(name) > 1 else name)
    return names


def _about_cube(predictions: Predictions, name: str, cube: Mosaic) -> dict[str, Any]:
    size = predictions.voxel_size_um
    unit = {} if size is None else {"unit": "micrometer"}
    sides = sides_um(size or 1.0)
    scale = [step * side for step, side in zip(cube.step, sides, strict=True)]
    # OME-NGFF places the middle of a pixel; of several voxels, the middle lies between the first and the last.
    corners = zip(cube.offset, cube.step, sides, strict=True)
    place = [(offset + (step - 1) / 2) * side for offset, step, side in corners]
    transformations = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": place}]
    image = {
        "name": f"{predictions.model} {predictions.task} {name}",
        "axes": [{"name": axis, "type": "space", **unit} for axis in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": transformations}],
    }
    return {
        "ome": {"version": "0.5", "multiscales": [image]},
        "run_id": predictions.run_id,
        "region": cube.region,
        "split": predictions.split,
        "classes": list(predictions.classes),
        "not_predicted": EMPTY,
        "offset_zyx": list(cube.offset),
        "voxels_per_pixel_zyx": list(cube.step),
        "shape": list(cube.pixels.shape),
    }


def _group(attributes: dict[str, Any]) -> bytes:
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, indent=1).encode()


def _array_files(prefix: str, cube: Mosaic) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files of one array, encoded in memory and so alike for folders and buckets."""
    chunk = [min(side, most) for side, most in zip(cube.pixels.shape, _CHUNK, strict=True)]
    metadata = {
        "shape": list(cube.pixels.shape),
        "data_type": "uint8",
        "fill_value": EMPTY,
        "dimension_names": ["z", "y", "x"],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "codecs": [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 5}}],
    }
    context = ts.Context()
    ts.open({**_DRIVER, "metadata": metadata}, create=True, context=context).result().write(cube.pixels).result()
    files = _memory(context)
    for key in files.list().result():
        yield prefix + key.decode(), files.read(key).result().value


def _memory(context: Any) -> Any:
    return ts.KvStore.open({"driver": "memory"}, context=context).result()


def _read_cube(folder: Folder, name: str) -> Mosaic:
    about = json.loads((folder / name).read(_META))["attributes"]
    array = folder / name / "0"
    metadata = array.read(_META)
    context = ts.Context()
    files = _memory(context)
    files.write(_META, metadata).result()
    for key in _chunks(json.loads(metadata)):
        # A chunk of nothing but the fill value has no file.
        if array.exists(key):
            files.write(key, array.read(key)).result()
    pixels = np.asarray(ts.open(_DRIVER, open=True, context=context).result().read(order="C").result())
    if pixels.dtype != np.uint8 or list(pixels.shape) != about["shape"]:
        raise ValueError(f"{pixels.dtype} {pixels.shape}")
    return Mosaic(about["region"], tuple(about["offset_zyx"]), tuple(about["voxels_per_pixel_zyx"]), pixels)


def _chunks(metadata: dict[str, Any]) -> list[str]:
    sides = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    counts = [-(-length // side) for length, side in zip(metadata["shape"], sides, strict=True)]
    return ["/".join(("c", *map(str, index))) for index in itertools.product(*map(range, counts))]
