"""Measurements: numbers by box and by region, tables for people, and one row per component as Parquet."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mtneuro_ray.results.tables import Table
from mtneuro_ray.results.tissue.components import Components, Ints
from mtneuro_ray.results.tissue.label_source import Labels, Place
from mtneuro_ray.results.tissue.measured_tables import Row, tables_of
from mtneuro_ray.storage.folder import place_of

if TYPE_CHECKING:
    import pandas as pd

_KEY = b"mtneuro_ray"
_COLUMNS = (
    ("class", pa.string()),
    ("label", pa.int64()),
    ("box", pa.string()),
    ("region", pa.string()),
    *((axis, pa.float64()) for axis in "zyx"),
    ("voxels", pa.int64()),
    ("at_border", pa.bool_()),
)
_SIZE_COLUMNS = (*((f"{axis}_um", pa.float64()) for axis in "zyx"), ("volume_um3", pa.float64()))
_PERCENTILES = (5, 25, 50, 75, 95)
_UM3_PER_MM3 = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class BoxCounts:
    """Counts of one box.

    Attributes:
        place: The box.
        voxels: (regions, classes + 2) pixels of no class, of each class, and ignored ones.
        components: Class -> its components.
        lengths: Class -> (regions,) length of its skeleton, in the unit of `Labels.spacing`.
        unlisted: Some of the labels that have no class.
    """

    place: Place
    voxels: Ints
    components: Mapping[str, Components]
    lengths: Mapping[str, npt.NDArray[np.float64]]
    unlisted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """Part of a box: one region, or all of it."""

    found: BoxCounts
    region: int | None = None

    @property
    def voxels(self) -> Ints:
        total: Ints = self.found.voxels.sum(axis=0) if self.region is None else self.found.voxels[self.region]
        return total

    def length(self, name: str) -> float:
        lengths = self.found.lengths[name]
        return float(lengths.sum() if self.region is None else lengths[self.region])

    def components(self, name: str) -> Components:
        components = self.found.components[name]
        return components if self.region is None else components.take(components.regions == self.region)


@dataclass(frozen=True, eq=False)
class Measurements:
    """What was measured in a label volume.

    Attributes:
        labels: The labels, with their classes, sizes and boxes.
        found: Counts of each box.
        min_voxels: Components of fewer voxels are left out.
        region_names: Names of the regions of a region volume, by index; empty without one.
    """

    labels: Labels
    found: tuple[BoxCounts, ...]
    min_voxels: int
    region_names: tuple[str, ...]

    @cached_property
    def boxes(self) -> list[Row]:
        """One row per box; see docs/measure.md for the keys."""
        return [self._row([_Part(found)], found.place.name, found.place.region) for found in self.found]

    @cached_property
    def regions(self) -> list[Row]:
        """One row per region over all boxes; empty where there are no regions, or where boxes overlap."""
        if self.labels.overlap():
            return []
        parts: dict[str, list[_Part]] = {}
        for found in self.found:
            if self.region_names:
                for index in np.flatnonzero(found.voxels.any(axis=1)).tolist():
                    parts.setdefault(self.region_names[index], []).append(_Part(found, index))
            elif found.place.region is not None:
                parts.setdefault(found.place.region, []).append(_Part(found))
        return [self._row(parts[region], None, region) for region in parts]

    @property
    def notes(self) -> list[str]:
        """What a reader must know."""
        notes = []
        if self.labels.voxel_size_um is None:
            notes.append("nothing says how large a voxel is (--voxel-size): sizes and lengths are in voxels")
        labels = sorted({label for found in self.found for label in found.unlisted} - {0})
        if labels:
            notes.append(f"some voxels have labels of no class: {', '.join(map(str, labels[:8]))}")
        for name in self.labels.classes:
            if not any(row["classes"][name]["voxels"] for row in self.boxes):
                notes.append(f"no voxel is {name} (label {self.labels.classes[name]})")
        if not any(found.components or found.lengths for found in self.found):
            notes.append("no class is counted or has its length measured (--count, --length)")
        if self.labels.overlap():
            notes.append("boxes overlap, so there are no sums over boxes")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single components, ready for JSON."""
        size = self.labels.voxel_size_um
        return {
            "prediction": self.labels.uri,
            "identity": self.labels.identity,
            "classes": dict(self.labels.classes),
            "voxel_size_um": None if size is None else list(size),
            "connectivity": 26,
            "min_voxels": self.min_voxels,
            "notes": self.notes,
            "boxes": self.boxes,
            "regions": self.regions,
        }

    def to_arrow(self) -> pa.Table:
        """One row per component.

        Columns: class, label (from 1 in its box, in the order of the first voxel), box, region, z, y, x (centroid in
        voxels of the image volume), voxels, at_border, and with a voxel size z_um, y_um, x_um and volume_um3.
        """
        tables = [
            self._rows_of(found, name, components)
            for found in self.found
            for name, components in found.components.items()
        ]
        about = {key: value for key, value in self.to_dict().items() if key not in ("boxes", "regions")}
        table = pa.concat_tables(tables) if tables else self._schema.empty_table()
        return table.replace_schema_metadata({_KEY: json.dumps(about)})

    def to_pandas(self) -> pd.DataFrame:
        """One row per component; see `to_arrow`."""
        return self.to_arrow().to_pandas()

    def write_components(self, to: str | os.PathLike[str]) -> None:
        """Write one row per component as Parquet, here or to a bucket, whole or not at all; see `to_arrow`."""
        folder, name = place_of(os.fspath(to))
        sink = pa.BufferOutputStream()
        pq.write_table(self.to_arrow(), sink, compression="zstd")
        folder.write(name, memoryview(sink.getvalue()))

    def tables(self) -> list[Table]:
        """Tables of shares, components and lengths, by box and by region."""
        found = tables_of([*self.boxes, *self.regions], self.labels, self.min_voxels)
        return [*found[:-1], found[-1]._replace(notes=tuple(self.notes))]

    def _row(self, parts: list[_Part], box: str | None, region: str | None) -> Row:
        *_, ignored = total = np.sum([part.voxels for part in parts], axis=0).tolist()
        measured = sum(total) - ignored
        pixel = self._pixel_um3(parts[0].found.place)
        volume = None if pixel is None else measured * pixel / _UM3_PER_MM3
        classes = {}
        for name, voxels in zip(self.labels.classes, total[1:-1], strict=True):
            size = {} if pixel is None else {"um3": voxels * pixel}
            classes[name] = {"voxels": voxels, "share": voxels / measured if measured else None, **size}
        found = parts[0].found
        components = {
            name: self._components([part.components(name) for part in parts], volume, pixel)
            for name in found.components
        }
        length = {}
        for name in found.lengths:
            length[name] = self._length(sum(part.length(name) for part in parts), classes[name], volume, measured)
        about = {"box": box, "region": region, "voxels": measured, "ignored": ignored, "unlisted": total[0]}
        return {**about, "mm3": volume, "classes": classes, "components": components, "length": length}

    def _pixel_um3(self, place: Place) -> float | None:
        """Volume of a pixel, or None where nothing says how large a voxel is."""
        return None if self.labels.voxel_size_um is None else math.prod(self.labels.spacing(place))

    def _components(self, parts: Iterable[Components], volume: float | None, pixel: float | None) -> Row:
        every = list(parts)
        voxels = np.concatenate([part.voxels for part in every])
        at_border = np.concatenate([part.at_border for part in every])
        large = voxels >= self.min_voxels
        many = int(large.sum())
        row: Row = {"count": many, "at_border": int(at_border[large].sum()), "smaller": len(voxels) - many}
        row["voxels"] = _distribution(voxels[large].astype(float))
        if volume is not None and pixel is not None:
            row["per_mm3"] = many / volume if volume else None
            row["um3"] = _distribution(voxels[large] * pixel)
        return row

    def _length(self, length: float, of_class: Row, volume: float | None, measured: int) -> Row:
        if volume is None:
            return {"voxels": length}
        diameter = 2 * math.sqrt(of_class["um3"] / (math.pi * length)) if length else None
        density = length / 1e3 / volume if measured else None
        return {"um": length, "mm_per_mm3": density, "mean_diameter_um": diameter}

    def _rows_of(self, found: BoxCounts, name: str, components: Components) -> pa.Table:
        kept = components.voxels >= self.min_voxels
        shown, place = components.take(kept), found.place
        regions = [place.region] * len(shown)
        if self.region_names:
            regions = [self.region_names[index] for index in shown.regions.tolist()]
        step = np.array(place.step)
        centres = np.array(place.offset) + shown.centroids * step + (step - 1) / 2
        columns = {
            "class": [name] * len(shown),
            "label": np.flatnonzero(kept) + 1,
            "box": [place.name] * len(shown),
            "region": regions,
            **dict(zip("zyx", centres.T, strict=True)),
            "voxels": shown.voxels,
            "at_border": shown.at_border,
        }
        pixel = self._pixel_um3(place)
        if pixel is not None and self.labels.voxel_size_um is not None:
            places = self.labels.origin_um + centres * self.labels.voxel_size_um
            columns |= {f"{axis}_um": values for axis, values in zip("zyx", places.T, strict=True)}
            columns["volume_um3"] = shown.voxels * pixel
        return pa.table(columns, schema=self._schema)

    @property
    def _schema(self) -> pa.Schema:
        sizes = () if self.labels.voxel_size_um is None else _SIZE_COLUMNS
        return pa.schema([*_COLUMNS, *sizes])


def _distribution(sizes: npt.NDArray[np.float64]) -> Row:
    """Mean, standard deviation and percentiles; empty where there is nothing."""
    if not len(sizes):
        return {}
    parts = np.percentile(sizes, _PERCENTILES).tolist()
    return {
        "mean": float(sizes.mean()),
        "std": float(sizes.std()),
        "min": float(sizes.min()),
        **{f"p{percent}": part for percent, part in zip(_PERCENTILES, parts, strict=True)},
        "max": float(sizes.max()),
    }
