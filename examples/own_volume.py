"""Writes a small image and its labels as OME-Zarr 0.5: a box of the phantom, as if it were a laboratory's own.

python examples/own_volume.py [FOLDER]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tensorstore as ts

import mtneuro_ray
from mtneuro_ray.roi import Roi

BOX = Roi(z=(110, 150), y=(560, 688), x=(3760, 3888))
VOXEL_UM = 1.17


def write(path: Path, voxels: np.ndarray) -> None:
    """Write an array (z, y, x) as the only level of an OME-Zarr image."""
    spec = {
        "driver": "zarr3",
        "kvstore": f"file://{path.resolve()}/0/",
        "dtype": str(voxels.dtype),
        "schema": {"chunk_layout": {"chunk": {"shape": [16, 64, 64]}}, "domain": {"labels": ["z", "y", "x"]}},
    }
    store = ts.open(spec, create=True, delete_existing=True, shape=voxels.shape).result()
    store.write(voxels).result()
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [VOXEL_UM] * 3}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": {"version": "0.5", "multiscales": [image]}},
    }
    (path / "zarr.json").write_text(json.dumps(group, indent=1))


def main(folder: Path) -> None:
    """Write both volumes."""
    channels = {"brain.zarr": ("image", np.uint8), "labels.zarr": ("pixel_labels", np.uint8)}
    for name, (channel, dtype) in channels.items():
        voxels = mtneuro_ray.open_volume(f"phantom://thalamocortical/{channel}?seed=0").read(BOX)
        (folder / name).mkdir(parents=True, exist_ok=True)
        write(folder / name, voxels.astype(dtype))
        print(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("own"))
