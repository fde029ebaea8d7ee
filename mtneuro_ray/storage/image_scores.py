"""OUT/image_scores/RUN_ID.parquet: numbers and place of each image of a final run's evaluation.

Runs are compared by them image by image. The file is derived from the same forward passes as the metrics in the run
file, is written before it, and holds the same bytes for the same metrics.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.storage.folder import Folder

logger = logging.getLogger(__name__)

FOLDER = "image_scores"
_VERSION = 1
_KEY = b"mtneuro_ray"
_PLACE = ("z", "y", "x")

Rows = npt.NDArray[Any]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Images of one or several splits, in the order of the task's cubes, then z, y, x.

    Attributes:
        splits: (M,) names of splits.
        cubes: (M,) numbers of the cubes in the task.
        origins: (M, 3) lowest voxel of each image, z, y, x.
        rows: Name of a metric -> (M, ...) its numbers of each image (`metrics.base.Metric.rows`), such as a confusion
            matrix; NaN where an image has none.
    """

    splits: npt.NDArray[np.str_]
    cubes: Whole
    origins: Whole
    rows: Mapping[str, Rows]

    def __len__(self) -> int:
        return len(self.cubes)

    def write(self, out: Folder, run_id: str) -> None:
        """Write the file of a run into an output folder, whole or not at all; what was there before is replaced."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {
            "split": pa.array(self.splits.tolist(), pa.string()),
            "cube": pa.array(self.cubes, pa.int32()),
            **{name: pa.array(values, pa.int32()) for name, values in zip(_PLACE, self.origins.T, strict=True)},
        }
        for name, rows in self.rows.items():
            flat = rows.reshape(len(rows), -1)
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
        shapes = {name: rows.shape[1:] for name, rows in self.rows.items()}
        about = json.dumps({"format_version": _VERSION, "run_id": run_id, "shapes": shapes})
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns).replace_schema_metadata({_KEY: about}), sink, compression="zstd")
        (out / FOLDER).write(_name(run_id), memoryview(sink.getvalue()))


def read_image_scores(out: Folder, run_id: str) -> ImageScores | None:
    """The images of a run; None if it has no such file, as runs of earlier versions, or a damaged one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = (out / FOLDER).read(_name(run_id))
    except FileNotFoundError:
        return None
    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read()
        about = json.loads(table.schema.metadata[_KEY])
        if (about["format_version"], about["run_id"]) != (_VERSION, run_id):
            return None
        return ImageScores(
            splits=np.array(table["split"].to_pylist(), np.str_),
            cubes=_whole(table["cube"]),
            origins=np.stack([_whole(table[name]) for name in _PLACE], axis=1),
            rows={
                name: np.asarray(table[name].combine_chunks().flatten()).reshape(-1, *shape)
                for name, shape in about["shapes"].items()
            },
        )
    # What a damaged file makes of pyarrow is not one type of error.
    except Exception as error:
        path = out / FOLDER / _name(run_id)
        logger.warning("%s: can't be read (%s): the run is compared without its images", path, type(error).__name__)
        return None


def _whole(column: Any) -> Whole:
    return np.asarray(column, np.int64)


def _name(run_id: str) -> str:
    return f"{run_id}.parquet"
