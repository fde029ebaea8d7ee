"""`predict --volume`, from a training in this process to volumes that open."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
import zarr
from scipy import ndimage

import mtneuro_ray
from mtneuro_ray.cli.main import main
from mtneuro_ray.data import embeddings
from mtneuro_ray.engine import volume_job, whole_volume
from mtneuro_ray.engine.blending import Blender
from mtneuro_ray.errors import InputError
from mtneuro_ray.roi import Roi
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from mtneuro_ray.volumes.source import open_volume
from tests.tiny import SHAPE, write_tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny volume and two seeds of one method; not to be written to."""
    folder = tmp_path_factory.mktemp("whole")
    tiny = write_tiny(folder / "tiny", name="t", epochs=4)
    for seed in ("1", "2"):
        where = ["--task", str(tiny.task), "--network", str(tiny.network), "--store", str(folder / "out" / "store")]
        assert main(["train", *where, "--workers", "0", "--seed", seed, "--out", str(folder / "out")]) == 0
    return folder


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks and blocks in a volume of 24 x 40 x 80."""
    monkeypatch.setattr(volume_job, "_CHUNK", {2: (8, 16, 16), 3: (8, 16, 16)})
    monkeypatch.setattr(volume_job, "BLOCK_BYTES", 2**16)
    monkeypatch.setattr("mtneuro_ray.data.pyramid.SMALLEST_SIDE", 32)


def predict(trained: Path, to: str, *options: str) -> int:
    volume = f"{trained}/tiny/image.npy"
    return main(["predict", "--out", str(trained / "out"), "--volume", volume, "--to", to, "--workers", "0", *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_ids(trained: Path) -> dict[int, str]:
    return {record.summary["seed"]: record.run_id for record in RunFolder(Folder(trained / "out")).all()}


def voxels(uri: str, **options: Any) -> Any:
    source = open_volume(uri)
    return source.read(source.domain)


@pytest.mark.usefixtures("small_chunks")
def test_a_whole_volume_is_predicted_and_right(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(trained, f"zarr://{tmp_path}/p.zarr") == 0
    assert capsys.readouterr().out == f"zarr://{tmp_path}/p.zarr\n"
    found, truth = voxels(f"zarr://{tmp_path}/p.zarr"), np.load(trained / "tiny" / "labels.npy")
    assert found.shape == SHAPE
    assert (found == truth).mean() > 0.9
    assert not (tmp_path / "p.zarr" / ".mtneuro").exists()
    coarse = voxels(f"zarr://{tmp_path}/p.zarr/1")
    assert coarse.shape == tuple(-(-side // 2) for side in SHAPE)

    # It names its classes.
    assert main(["measure", "--prediction", f"zarr://{tmp_path}/p.zarr", "--format", "json"]) == 0
    shares = {name: each["voxels"] for name, each in json.loads(capsys.readouterr().out)["boxes"][0]["classes"].items()}
    assert shares == {name: int((found == n).sum()) for n, name in enumerate(("bg", "one", "two"))}

    # Once more: it is complete, and nothing is computed.
    before = contents(tmp_path / "p.zarr")
    assert predict(trained, f"zarr://{tmp_path}/p.zarr") == 0
    assert "is complete" in capsys.readouterr().err
    assert contents(tmp_path / "p.zarr") == before

    # Precomputed holds the same classes.
    assert predict(trained, f"precomputed://{tmp_path}/pre") == 0
    np.testing.assert_array_equal(voxels(f"precomputed://{tmp_path}/pre"), found)


@pytest.mark.usefixtures("small_chunks")
def test_a_prediction_that_is_killed_goes_on_and_ends_as_if_undisturbed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict(trained, f"zarr://{tmp_path}/whole.zarr") == 0

    computed: list[Roi] = []
    write, left = whole_volume.BlockWorker._write, [0]

    def killed(worker: whole_volume.BlockWorker, made: tuple[Roi, Any]) -> Roi:
        left[0] -= 1
        computed.append(made[0])
        if left[0] < 0:
            raise KeyboardInterrupt
        return write(worker, made)

    monkeypatch.setattr(whole_volume.BlockWorker, "_write", killed)
    for blocks in (1, 2, 0):
        left[0] = blocks
        assert predict(trained, f"zarr://{tmp_path}/cut.zarr") == 130
        assert not (tmp_path / "cut.zarr" / "zarr.json").exists()
    left[0] = 10**6
    assert predict(trained, f"zarr://{tmp_path}/cut.zarr") == 0
    assert contents(tmp_path / "cut.zarr") == contents(tmp_path / "whole.zarr")
    # One that is about to be written and the next, each time.
    assert len(set(computed)) + 3 <= len(computed) <= len(set(computed)) + 6


@pytest.mark.usefixtures("small_chunks")
def test_probabilities_flips_and_seeds(trained: Path, tmp_path: Path) -> None:
    for name, options in (
        ("one", []),
        ("flips", ["--flips"]),
        ("seeds", ["--seeds"]),
        ("first", ["--run", run_ids(trained)[1]]),
        ("second", ["--run", run_ids(trained)[2]]),
    ):
        box = ["--box", "0:8,0:40,0:80"]
        assert predict(trained, f"zarr://{tmp_path}/{name}", "--what", "probabilities", *box, *options) == 0
    shares = {
        name: np.stack([voxels(f"zarr://{tmp_path}/{name}?channel={k}").astype(int) for k in range(3)])
        for name in ("one", "flips", "seeds", "first", "second")
    }
    assert abs(shares["one"].sum(0) - 255).max() <= 2
    np.testing.assert_array_equal(shares["one"], shares["first"])
    assert 0 < abs(shares["flips"] - shares["one"]).mean() < 30
    mean = (shares["first"] + shares["second"]) / 2
    assert abs(shares["seeds"] - mean).max() <= 1
    apart = voxels(f"zarr://{tmp_path}/seeds/uncertainty").astype(int)
    # Windows disagree at least as much as what is blended from them.
    least = abs(shares["first"] - mean).sum(0) / 2
    assert (apart - least).min() >= -2
    assert (apart - least).mean() < 2


@pytest.mark.usefixtures("small_chunks")
def test_a_box_lies_where_it_was_cut(trained: Path, tmp_path: Path) -> None:
    assert predict(trained, f"precomputed://{tmp_path}/box", "--box", "2:20,8:40,32:80") == 0
    source = open_volume(f"precomputed://{tmp_path}/box")
    assert source.domain == Roi((2, 20), (8, 40), (32, 80))
    truth = np.load(trained / "tiny" / "labels.npy")[2:20, 8:40, 32:80]
    assert (source.read(source.domain) == truth).mean() > 0.85


def test_a_predicted_volume_is_measured_by_the_classes_that_it_names(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for scheme in ("zarr", "precomputed"):
        to = f"{scheme}://{tmp_path}/{scheme}"
        assert predict(trained, to, "--box", "2:20,8:40,32:80") == 0
        capsys.readouterr()
        options = ["--count", "two", "--length", "one", "--format", "json"]
        assert main(["measure", "--prediction", f"{to}?voxel_size=2", *options]) == 0
        found[scheme] = json.loads(capsys.readouterr().out)
        assert found[scheme]["classes"] == {"bg": 0, "one": 1, "two": 2}
        assert mtneuro_ray.measure(to, classes={"discs": 2}).labels.classes == {"discs": 2}
    [zarr_box], [precomputed_box] = (each["boxes"] for each in found.values())
    # A precomputed volume keeps the place of the box.
    assert (zarr_box.pop("box"), precomputed_box.pop("box")) == ("0:18,0:32,0:48", "2:20,8:40,32:80")
    assert zarr_box == precomputed_box
    predicted = voxels(f"zarr://{tmp_path}/zarr")
    assert [each["voxels"] for each in zarr_box["classes"].values()] == np.bincount(predicted.ravel()).tolist()
    (tmp_path / "precomputed" / "segment_properties" / "info").write_text("{}")
    assert main(["measure", "--prediction", f"precomputed://{tmp_path}/precomputed"]) == 2
    assert "is no whole prediction of this version (KeyError" in capsys.readouterr().err
    assert predict(trained, f"zarr://{tmp_path}/shares", "--what", "probabilities") == 0
    assert main(["measure", "--prediction", f"zarr://{tmp_path}/shares"]) == 2
    assert "--classes: is missing, nothing in the volume names them" in capsys.readouterr().err


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `trained`, at a voxel size of 3, 2, 2 of an image of 3, 1, 1 um; not to be written to."""
    folder = tmp_path_factory.mktemp("coarse")
    tiny = write_tiny(folder / "tiny", name="t", epochs=1)
    task = json.loads(tiny.task.read_text())
    for cube in task["cubes"]:
        cube["y"], cube["x"] = [2, 18], [edge // 2 for edge in cube["x"]]
    task |= {"image_chan": "file:image.npy?voxel_size=3,1,1", "annotation_chan": "file:labels.npy?voxel_size=3,1,1"}
    tiny.task.write_text(json.dumps(task | {"target_voxel_size_um": [3, 2, 2]}))
    where = ["--task", str(tiny.task), "--network", str(tiny.network), "--workers", "0", "--out", str(folder / "out")]
    assert main(["train", *where]) == 0
    return folder


def test_a_volume_is_resampled_to_the_voxel_size_of_the_training(
    coarse: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = np.load(coarse / "tiny" / "image.npy").astype(float)
    z, y, x = np.meshgrid(np.arange(24), np.arange(20) * 2 + 0.5, np.arange(40) * 2 + 0.5, indexing="ij")
    expected = ndimage.map_coordinates(image, [z, y, x], order=1, mode="nearest")
    np.save(tmp_path / "scipy.npy", np.rint(expected).astype(np.uint8))
    fine, done = f"file:{coarse}/tiny/image.npy?voxel_size=3,1,1", f"file:{tmp_path}/scipy.npy?voxel_size=3,2,2"

    def run(volume: str, to: str, *options: str) -> int:
        where = ["--out", str(coarse / "out"), "--volume", volume, "--to", to, "--workers", "0", *options]
        return main(["predict", *where])

    assert run(fine, f"zarr://{tmp_path}/fine") == run(done, f"zarr://{tmp_path}/done") == 0
    found = open_volume(f"zarr://{tmp_path}/fine")
    np.testing.assert_array_equal(found.read(found.domain), voxels(f"zarr://{tmp_path}/done"))
    assert len(np.unique(found.read(found.domain))) > 1
    assert found.voxel_size_um == (3, 2, 2)
    # The middle of two voxels of 1 um, the first at 0.
    assert found.origin_um == (0, 0.5, 0.5)
    # Boxes are in voxels of the volume, and precomputed volumes lie by the corners of voxels.
    for volume, box, domain in (
        (fine, "2:20,9:40,32:79", Roi((2, 20), (4, 20), (16, 40))),
        (fine.replace("3,1,1", "3,4,4"), "3:5,0:8,4:16", Roi((3, 5), (0, 16), (8, 32))),
    ):
        to = f"precomputed://{tmp_path}/{domain}"
        assert run(volume, to, "--box", box) == 0
        assert (open_volume(to).domain, open_volume(to).voxel_size_um) == (domain, (3, 2, 2))
    # Without a size it is taken for that of the task, and a line says so.
    assert run(fine.partition("?")[0], f"zarr://{tmp_path}/assumed") == 0
    assert "says no voxel size; that of the task, (3.0, 1.0, 1.0) um, is assumed" in caplog.text
    np.testing.assert_array_equal(voxels(f"zarr://{tmp_path}/assumed"), voxels(f"zarr://{tmp_path}/done"))


def test_a_prediction_of_another_voxel_size_is_not_taken_for_one_of_this(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume, to = f"file:{trained}/tiny/image.npy?voxel_size=2", f"zarr://{tmp_path}/p"
    assert main(["predict", "--out", str(trained / "out"), "--volume", volume, "--to", to, "--workers", "0"]) == 0
    assert predict(trained, to) == 2
    assert "holds a prediction whose voxel_size_um is [2.0, 2.0, 2.0], not null" in capsys.readouterr().err
    # One of an earlier version, which does not say it.
    file = tmp_path / "p" / "zarr.json"
    about = json.loads(file.read_text())
    del about["attributes"]["mtneuro"]["voxel_size_um"]
    file.write_text(json.dumps(about))
    assert predict(trained, to) == 0
    assert "is complete" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--box", "0:4,0:4"], "--box: '0:4,0:4' is no box; accepted: Z0:Z1,Y0:Y1,X0:X1"),
        (["--box", "0:30,0:40,0:80"], "--box: 0:30,0:40,0:80 leaves file:"),
        (["--window", "1,15,16"], "--window: t cannot take an image of (15, 16) pixels; accepted: "),
        (["--window", "2,16,16"], "--window: 2 slices, but t sees one at a time; accepted: 1,Y,X"),
        (["--run", "none"], "--run: 'none' is no finished final run"),
        (["--run", "a", "--run", "b"], "--run, --best: name several runs"),
        (["--volume", "file:none.npy"], "none.npy: no such file"),
    ],
)
def test_bad_options_are_one_line(
    trained: Path, tmp_path: Path, options: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(trained, f"zarr://{tmp_path}/p", *options) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert text in line
    assert not (tmp_path / "p").exists()


def test_a_network_whose_numbers_are_lost_is_one_line(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Blender, "_blended", lambda self, step, pixels: torch.full((3, *step.roi.shape), torch.nan))
    assert predict(trained, f"zarr://{tmp_path}/p") == 1
    assert "of the prediction holds values that are no numbers" in capsys.readouterr().err
    assert not (tmp_path / "p" / "zarr.json").exists()


def test_voxels_of_another_size_than_in_training_are_told(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = run_ids(trained)[1]
    record = next(each for each in mtneuro_ray.Results(trained / "out").records if each.run_id == run_id)
    source = open_volume(f"file:{trained}/tiny/image.npy")
    for size, told in (((5.0, 1.0, 1.0), False), ((5.0, 2.0, 2.0), True)):
        source.voxel_size_um = size
        run = record.load_settings()
        run = run.model_copy(update={"task": run.task.model_copy(update={"voxel_size_um": 1.0})})
        volume_job._check(run, [record], [source], volume_job.PredictionOptions())
        assert ("the network sees other sizes" in caplog.text) is told


def test_other_settings_weights_or_channels_are_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(trained, f"zarr://{tmp_path}/p") == 0
    assert predict(trained, f"zarr://{tmp_path}/p", "--flips") == 2
    assert "holds a prediction whose flips is false, not true; accepted: the same settings" in capsys.readouterr().err
    assert predict(trained, f"zarr://{tmp_path}/q", "--volume", f"{trained}/tiny/image.npy") == 2
    assert "--volume: has 2 channels, t was trained on 1; accepted: 1" in capsys.readouterr().err
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    shutil.rmtree(copy / "out" / "checkpoints")
    assert predict(copy, f"zarr://{tmp_path}/r") == 2
    assert "model.pt: no such file" in capsys.readouterr().err


@pytest.mark.usefixtures("small_chunks")
def test_a_network_of_volumes_sees_volumes_and_flips_along_z_too(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", name="v", epochs=3, dim=3, batch_size=2)
    task = json.loads(tiny.task.read_text())
    tiny.task.write_text(json.dumps({**task, "volume_z": 4}))
    where = ["--task", str(tiny.task), "--network", str(tiny.network), "--store", str(tmp_path / "out" / "store")]
    assert main(["train", *where, "--workers", "0", "--out", str(tmp_path / "out")]) == 0
    assert predict(tmp_path, f"zarr://{tmp_path}/p") == 0
    found, truth = voxels(f"zarr://{tmp_path}/p"), np.load(tiny.labels)
    assert (found == truth).mean() > 0.8
    assert predict(tmp_path, f"zarr://{tmp_path}/f", "--flips") == 0
    flipped = voxels(f"zarr://{tmp_path}/f")
    assert 0.8 < (flipped == found).mean() < 1


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny volume and a classifier of its two regions; not to be written to."""
    folder = tmp_path_factory.mktemp("map")
    tiny = write_tiny(folder / "tiny", kind="classification", name="c", epochs=1)
    where = ["--task", str(tiny.task), "--network", str(tiny.network), "--store", str(folder / "out" / "store")]
    assert main(["train", *where, "--workers", "0", "--out", str(folder / "out")]) == 0
    return folder


def test_a_classifier_gives_a_map_of_tiles(classifier: Path, tmp_path: Path) -> None:
    box = ("--box", "4:6,0:32,0:40")
    assert predict(classifier, f"zarr://{tmp_path}/map", "--what", "probabilities", *box) == 0
    source = open_volume(f"zarr://{tmp_path}/map?channel=1")
    # Tiles of 16 x 16 every 8 pixels, each in its middle.
    assert source.shape == (2, 3, 4)
    [run_id] = [record.run_id for record in RunFolder(Folder(classifier / "out")).all()]
    model = mtneuro_ray.Results(classifier / "out").model(run_id)
    voxels_of = np.load(classifier / "tiny" / "image.npy")
    tile = torch.from_numpy(voxels_of[5, 16:32, 24:40][None, None].astype(np.float32)) / 255
    with torch.no_grad():
        share, features = model(tile).softmax(1)[0, 1], model.features(tile)[0].numpy()
    assert abs(int(source.read(Roi.at((1, 2, 3), (1, 1, 1))).item()) - float(share) * 255) <= 0.51

    assert predict(classifier, f"zarr://{tmp_path}/embeddings.zarr", "--what", "embeddings", *box) == 0
    array: Any = zarr.open_array(tmp_path / "embeddings.zarr" / "0", mode="r")
    assert (array.shape, array.dtype) == ((512, 2, 3, 4), np.dtype("float32"))
    np.testing.assert_allclose(array[:, 1, 2, 3], features, rtol=1e-4, atol=1e-5)

    # The lines of the page make a table of it.
    page = (Path(__file__).parents[2] / "docs/whole_volumes.md").read_text()
    lines = page.partition("```python\n")[2].partition("```")[0]
    exec(lines.replace("zarr://", f"zarr://{tmp_path}/").replace('"embeddings.', f'"{tmp_path}/embeddings.'), {})
    table = pq.read_table(tmp_path / "embeddings.parquet")
    row = table.filter((pc.field("z") == 5) & (pc.field("y") == 16) & (pc.field("x") == 24)).to_pylist()
    np.testing.assert_array_equal([each["embedding"] for each in row], array[:, 1, 2, 3][None])
    assert len(table) == 2 * 3 * 4
    with pytest.raises(InputError, match="map: is no whole embedding of a volume"):
        embeddings.of_volume(f"zarr://{tmp_path}/map")


def test_what_a_run_has_not_is_refused(
    trained: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, options, text in (
        (trained, ["--what", "embeddings"], "--what: t has no features; accepted: classes, probabilities"),
        (classifier, ["--box", "0:4,0:8,0:80"], "hold no image of (1, 16, 16); accepted: a larger box"),
    ):
        assert predict(folder, f"zarr://{tmp_path}/p", *options) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert text in line
