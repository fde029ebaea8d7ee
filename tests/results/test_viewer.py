from __future__ import annotations

import io
import json
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from mtneuro_ray.cli.main import main
from mtneuro_ray.errors import InputError
from mtneuro_ray.results.viewer import viewer_of

pytest.importorskip("neuroglancer")
SHAPE = (4, 40, 60)


def written(folder: Path, voxels: np.ndarray, origin: tuple[float, float, float]) -> str:
    group: Any = zarr.create_group(folder)
    group.create_array("0", shape=voxels.shape, dtype=voxels.dtype, chunks=voxels.shape)[:] = voxels
    transformations = [{"type": "scale", "scale": [4, 2, 2]}, {"type": "translation", "translation": list(origin)}]
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": transformations}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return f"zarr://{folder}"


def test_a_page_shows_image_and_prediction_in_their_places(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 60000, SHAPE, np.uint16)
    classes = random.integers(0, 3, (2, 40, 60), np.uint8)
    uris = [written(tmp_path / "i", image, (0, 0, 0)), written(tmp_path / "p", classes, (8, 0, 0))]
    viewer = viewer_of(uris[0], [uris[1]])
    assert viewer.get_viewer_url().startswith("http://127.0.0.1:")
    state = viewer.state.to_json()
    assert [(layer["name"], layer["type"]) for layer in state["layers"]] == [
        ("image", "image"),
        ("prediction", "segmentation"),
    ]
    assert (list(state["dimensions"]), state["position"]) == (["x", "y", "z"], [29.5, 19.5, 1.5])
    shifts = [[row[3] for row in layer["source"][0]["transform"]["matrix"]] for layer in state["layers"]]
    assert shifts == [[-0.5, -0.5, -0.5], [1.5, -0.5, -0.5]]
    server = viewer.get_viewer_url().partition("/v/")[0]
    token = state["layers"][0]["source"][0]["url"].rpartition("/")[2]
    with urllib.request.urlopen(f"{server}/neuroglancer/info/{token}") as answer:
        info = json.load(answer)
    assert (info["dataType"], info["shape"]) == ("uint16", list(SHAPE))
    with urllib.request.urlopen(f"{server}/neuroglancer/npz/{token}/1,1,1/1,0,8/3,16,24") as answer:
        part = np.load(io.BytesIO(zlib.decompress(answer.read())))
    np.testing.assert_array_equal(part, image[1:3, :16, 8:24])


def served(layer: Any, viewer: Any) -> tuple[str, np.ndarray]:
    """Type of a layer's voxels, and all of them."""
    server, token = viewer.get_viewer_url().partition("/v/")[0], layer["source"][0]["url"].rpartition("/")[2]
    with urllib.request.urlopen(f"{server}/neuroglancer/info/{token}") as answer:
        kind = json.load(answer)["dataType"]
    depth, height, width = SHAPE
    with urllib.request.urlopen(f"{server}/neuroglancer/npz/{token}/1,1,1/0,0,0/{depth},{height},{width}") as answer:
        return kind, np.load(io.BytesIO(zlib.decompress(answer.read())))


def test_types_that_neuroglancer_does_not_know_are_shown_as_what_it_knows(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(-1, 4, SHAPE)
    np.save(tmp_path / "i.npy", labels * 1000)
    np.save(tmp_path / "l.npy", labels)
    viewer = viewer_of(f"file:{tmp_path}/i.npy", [f"file:{tmp_path}/l.npy"])
    image, segments = (served(layer, viewer) for layer in viewer.state.to_json()["layers"])
    assert (image[0], segments[0]) == ("float32", "uint64")
    np.testing.assert_array_equal(image[1], labels * 1000)
    np.testing.assert_array_equal(segments[1], np.maximum(labels, 0))
    controls = viewer.state.to_json()["layers"][0]["shaderControls"]["normalized"]
    assert controls["range"] == np.percentile(labels * 1000, (0.5, 99.5)).tolist()


def test_what_is_no_volume_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="no such file"):
        viewer_of(f"file:{tmp_path}/none.npy", [])
    assert main(["view", "--image", f"file:{tmp_path}/none.npy"]) == 2
    assert "none.npy: no such file" in capsys.readouterr().err
