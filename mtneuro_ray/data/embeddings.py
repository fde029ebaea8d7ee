"""Embeddings of a readout run on disk: `OUT/embeddings/<run_id>.parquet`, one row per corner of an image.

Columns: `region`, `split`, `corner` (0 to 3, in the order of `roi.corners`), `z`, `y`, `x` (lowest voxel in the
volume), one column for each attribute of `data.attributes` (those in micrometers where the voxel size was known), and
`embedding`, a fixed-size list of float32. The metadata
of the schema hold `About`, as JSON under the key `mtneuro_ray`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import SPLITS, Split
from mtneuro_ray.data.attributes import ATTRIBUTES, IN_UM, names_of
from mtneuro_ray.data.samples import SplitData
from mtneuro_ray.data.sampling import Sample, samples
from mtneuro_ray.errors import parsing
from mtneuro_ray.roi import Roi, Shape, corners
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.volumes.address import Address
from mtneuro_ray.volumes.source import open_volume

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "embeddings"
FORMAT_VERSION = 1

Vectors = npt.NDArray[np.float32]

_KEY = b"mtneuro_ray"
_PLACE = ("z", "y", "x")


@dataclass(frozen=True, slots=True)
class About:
    """Origin of a set of embeddings: readout run, task and volume identities (image first), and the encoder.

    `train_id`, `network`, `seed` and `encoder_task` are those of the training of the encoder.
    """

    run_id: str
    train_id: str
    network: str
    seed: int
    task: str
    encoder_task: str
    data: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Embeddings of M corners of images, with the place and attributes of each.

    Attributes:
        about: Their origin.
        regions: (M,) names of regions.
        splits: (M,) names of splits.
        corners: (M,) 0 to 3, in the order of `roi.corners`.
        origins: (M, 3) lowest voxel of each corner, z, y, x.
        targets: (M, 5) or, where the voxel size is known, (M, 7) attributes, as `data.attributes.names_of` names them.
        vectors: (M, F) embeddings.
    """

    about: About
    regions: npt.NDArray[np.str_]
    splits: npt.NDArray[np.str_]
    corners: npt.NDArray[np.int64]
    origins: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float64]
    vectors: Vectors

    @classmethod
    def of(cls, run: RunSettings, data: Mapping[Split, SplitData], vectors: Mapping[Split, Vectors]) -> Embeddings:
        """The embeddings of a readout run, from (N, 4, F) vectors of each split in the order of the plan."""
        assert run.encoder_run is not None
        network, encoder = run.encoder_run.network, run.encoder_run
        splits = [split for split in SPLITS if split in vectors]
        plan = [sample for split in splits for sample in samples(run.task, split)]
        targets = np.concatenate([np.asarray(data[split].targets) for split in splits])
        joined = np.concatenate([vectors[split] for split in splits])
        return cls(
            about=About(
                run_id=run.run_id,
                train_id=encoder.train_id,
                network=network.name,
                seed=network.seed,
                task=run.task.name,
                encoder_task=encoder.task.name,
                data=run.data,
            ),
            regions=np.repeat([sample.region for sample in plan], 4),
            splits=np.repeat([str(sample.split) for sample in plan], 4),
            corners=np.tile(np.arange(4), len(plan)),
            origins=np.array([origin for sample in plan for origin in _corner_origins(sample)], np.int64),
            targets=targets.reshape(4 * len(plan), -1),
            vectors=joined.reshape(4 * len(plan), -1),
        )

    def to_arrow(self) -> pa.Table:
        """One row per corner, with `About` in the metadata."""
        length = self.vectors.shape[1]
        columns = {
            "region": pa.array(self.regions.tolist(), pa.string()),
            "split": pa.array(self.splits.tolist(), pa.string()),
            "corner": pa.array(self.corners, pa.int8()),
            **{name: pa.array(values, pa.int32()) for name, values in zip(_PLACE, self.origins.T, strict=True)},
            **{
                name: pa.array(values)
                for name, values in zip(names_of(self.targets.shape[1]), self.targets.T, strict=True)
            },
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(self.vectors.ravel(), pa.float32()), length),
        }
        about = {"format_version": FORMAT_VERSION, **asdict(self.about)}
        return pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about)})

    def to_pandas(self) -> pd.DataFrame:
        """One row per corner."""
        return self.to_arrow().to_pandas()


def _corner_origins(sample: Sample) -> list[Shape]:
    z, y, x = sample.roi.origin
    return [(z, y + rows.start, x + columns.start) for rows, columns in corners(*sample.roi.shape[1:])]


def write(out: Folder, embeddings: Embeddings) -> None:
    """Write embeddings into an output folder, whole or not at all; what was there before is replaced."""
    sink = pa.BufferOutputStream()
    pq.write_table(embeddings.to_arrow(), sink, compression="zstd")
    (out / FOLDER).write(f"{embeddings.about.run_id}.parquet", memoryview(sink.getvalue()))


def read(out: str | os.PathLike[str] | Folder, run_id: str) -> Embeddings:
    """The embeddings of a readout run in an output folder.

    Raises:
        InputError: there are none, or the file is damaged.
    """
    folder, name = (out if isinstance(out, Folder) else Folder(out)) / FOLDER, f"{run_id}.parquet"
    with parsing(folder / name, "set of embeddings of this version", "what a finished readout run has written"):
        table = pq.read_table(pa.BufferReader(folder.read(name)))
        about: dict[str, Any] = json.loads((table.schema.metadata or {})[_KEY])
        if about.pop("format_version") != FORMAT_VERSION:
            raise ValueError("format version")
        about["data"] = tuple(about["data"])
        names = (*ATTRIBUTES, *(name for name in IN_UM if name in table.column_names))
        flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        found = Embeddings(
            about=About(**about),
            regions=np.array(table["region"].to_pylist()),
            splits=np.array(table["split"].to_pylist()),
            corners=table["corner"].to_numpy().astype(np.int64),
            origins=np.stack([table[name].to_numpy() for name in _PLACE], axis=1).astype(np.int64),
            targets=np.stack([table[name].to_numpy() for name in names], axis=1),
            vectors=flat.astype(np.float32, copy=False).reshape(len(table), -1),
        )
    return found


def of_volume(uri: str) -> pa.Table:
    """A row for each window of an OME-Zarr that `predict --what embeddings` has written.

    Columns: `z`, `y`, `x` (lowest voxel of the window), `z_um`, `y_um`, `x_um` (its middle, where known)
    and `embedding`, a fixed-size list of float32. All of it is held in memory.

    Raises:
        InputError: the address holds no such prediction.
        SourceError: it could not be read.

    Example:
        >>> table = embeddings.of_volume("zarr://embeddings.zarr")
        >>> pyarrow.parquet.write_table(table, "embeddings.parquet")
    """
    address, source = Address.parse(uri, Path()), open_volume(uri)
    with parsing(uri, "embedding of a volume", "what `predict --what embeddings` has written, zarr://..."):
        about: dict[str, Any] = address.attributes()["mtneuro"]
        if about["what"] != "embeddings":
            raise ValueError(f"holds {about['what']}")
        box, factor = Roi.parse(about["box"]), int(about["downsample"])
        steps = np.multiply(about["step"], (1, factor, factor))
        array = address.at("0").open(fill=False)
        vectors = np.asarray(address.finish(array.read, "vectors"), np.float32)
    places = np.indices(vectors.shape[1:]).reshape(3, -1).T
    columns = dict(zip(_PLACE, (np.multiply(box.origin, (1, factor, factor)) + places * steps).T, strict=True))
    if source.voxel_size_um and source.origin_um:
        middles = np.array(source.origin_um) + places * np.array(source.voxel_size_um)
        columns |= {f"{name}_um": each for name, each in zip(_PLACE, middles.T, strict=True)}
    flat = pa.array(vectors.reshape(len(vectors), -1).T.ravel(), pa.float32())
    embedding = pa.FixedSizeListArray.from_arrays(flat, len(vectors))
    return pa.table({**{name: pa.array(each) for name, each in columns.items()}, "embedding": embedding})
