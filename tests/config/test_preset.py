import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.preset import PRESETS, Preset
from mtneuro_ray.config.space import SweepSpace
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.sampling import samples
from tests.config.checks import refused
from tests.settings import cube, network_settings, task_settings, task_values


def space(**axes: list[object]) -> SweepSpace:
    experiment = {"task": "t", "network": "n", "seeds": [1, 100, 350], "search": {"axes": axes}}
    return SweepSpace.load({"name": "s", "experiments": [experiment]}, "space.toml")


SMOKE = Preset(scales_images=True)


def wide(**changes: Any) -> TaskSettings:
    """A task of 150 x 150 tiles in cubes as large."""
    sides: dict[str, Any] = {"y": [0, 150], "x": [0, 150]}
    cubes = [cube(**sides), cube(split="val", z=(5, 7), **sides), cube(split="test", z=(8, 10), **sides)]
    return task_settings(**{"tile_size": [150, 150], "cubes": cubes, **changes})


def test_a_self_supervised_method_and_its_linear_probe_are_both_scaled() -> None:
    method = {"name": "byol", "epochs": 40, "batch_size": 64}
    network = network_settings(model="ResNet-18", method={**method, "lr_warmup_epochs": 10}, epochs=30)
    scaled = Preset(epochs=5, batch_size=8).scale_network(network, "n").paths()
    assert (scaled["method.epochs"], scaled["method.lr_warmup_epochs"], scaled["method.batch_size"]) == (5, 4, 8)
    by_rule = Preset(epochs=5).scale_network(network_settings(model="ResNet-18", method=method), "n")
    assert by_rule.paths()["method.lr_warmup_epochs"] is None
    assert (scaled["optimizer.epochs"], scaled["data.batch_size"]) == (5, 2)


def test_an_unknown_preset_is_refused_with_the_names() -> None:
    with refused("--preset: 'fast' is no preset", "smoke, paper"):
        load_pair("task1", "SUP_ResNet-18_2D", preset="fast")


def test_the_paper_s_preset_changes_nothing() -> None:
    task, network, sweep = task_settings(), network_settings(), space(learning_rate=[0.1, 0.2, 0.3])
    paper = PRESETS["paper"]
    assert (paper.scale_task(task, "t"), paper.scale_network(network, "n")) == (task, network)
    assert paper.scale_space(sweep, "s") == sweep


def test_a_smaller_tile_is_cut_from_the_centre_of_each_cube() -> None:
    task = wide()
    scaled = SMOKE.scale_task(task, "t")
    assert scaled.tile_size == (128, 128)
    assert {(each.y, each.x) for each in scaled.cubes} == {((11, 139), (11, 139))}
    assert [each.z for each in scaled.cubes] == [each.z for each in task.cubes]


def test_tiles_with_a_stride_keep_their_cubes() -> None:
    task = wide(tile_stride=[11, 22])
    scaled = SMOKE.scale_task(task, "t")
    assert scaled.cubes == task.cubes
    assert len(samples(scaled, "train")) == 4 * 3 * 2


@pytest.mark.parametrize("preset", [SMOKE, Preset(epochs=64, batch_size=64)])
def test_a_preset_makes_nothing_larger(preset: Preset) -> None:
    task, network = task_settings(max_slices=3), network_settings(warmup_epochs=1)
    assert preset.scale_task(task, "t") == task
    assert preset.scale_network(network, "n") == network


def test_fewer_epochs_keep_one_after_the_warm_up() -> None:
    network = network_settings(epochs=10, warmup_epochs=4)
    assert Preset(epochs=3).scale_network(network, "n").optimizer.warmup_epochs == 2
    assert Preset(epochs=1).scale_network(network, "n").optimizer.warmup_epochs == 0


def test_first_values_and_seeds_are_kept() -> None:
    scaled = Preset(values_per_axis=2, seeds=1).scale_space(space(learning_rate=[3, 2, 1], batch_size=[8]), "s")
    assert scaled.experiments[0].search.axes == {"learning_rate": (3, 2), "batch_size": (8,)}
    assert scaled.experiments[0].seeds == (1,)


def test_a_tile_that_the_downsampling_does_not_divide_is_refused_by_file() -> None:
    with refused("t.json: downsample: 3 does not divide tile_size 128"):
        SMOKE.scale_task(wide(tile_size=[150, 150], downsample=3), "t.json")


def test_smoke_keeps_regions_splits_and_classes_of_the_benchmark() -> None:
    task, _ = load_task("task2_2D_4class")
    scaled = PRESETS["smoke"].scale_task(task, "t")
    assert [(c.region, c.split) for c in scaled.cubes] == [(c.region, c.split) for c in task.cubes]
    assert scaled.classes == task.classes
    assert len(samples(scaled, "train")) == 3 * 16


@pytest.mark.parametrize(
    ("task", "images", "shape"),
    [
        ("task1", 32, (1, 64, 64)),
        ("task3", 64, (1, 64, 64)),
        ("task2_2D_3class", 16, (1, 128, 128)),
        ("task2_3D_3class", 4, (8, 32, 32)),
    ],
)
def test_each_kind_of_task_has_a_smoke_scale_of_its_own(task: str, images: int, shape: tuple[int, int, int]) -> None:
    scaled, _ = load_task(task, preset="smoke")
    for split in {each.split for each in scaled.cubes}:
        found = samples(scaled, split)
        assert {sample.roi.shape for sample in found} == {shape}
        assert all(n <= images for n in Counter(sample.region for sample in found).values())
    assert set(Counter(sample.region for sample in samples(scaled, "train")).values()) == {images}


def test_a_preset_s_volume_stands_for_bossdb_alone(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(json.dumps(task_values()))
    assert load_task("task1", preset="smoke")[0].image_chan == "phantom://thalamocortical/image?seed=0"
    assert load_task("task1", "zarr:///copy", "smoke")[0].image_chan == "zarr:///copy/image"
    assert load_task("task1", preset="paper")[0].image_addresses[0].startswith("bossdb://")
    assert load_task(str(own), preset="smoke")[0].image_chan == "file:image.npy"


def test_smoke_takes_a_small_encoder_without_a_download() -> None:
    scaled = PRESETS["smoke"].scale_network(network_settings(model="FPN"), "n")
    paths = scaled.paths()
    assert (paths["model.encoder_name"], paths["model.encoder_weights"]) == ("efficientnet-b0", None)
    assert PRESETS["smoke"].scale_network(network_settings(), "n") == network_settings()


def test_smoke_needs_no_gpu() -> None:
    sweep = space(learning_rate=[1, 2, 3])
    on_gpus = SweepSpace.load({**sweep.model_dump(mode="json"), "run": {"gpus_per_worker": 0.5}}, "s")
    assert PRESETS["smoke"].scale_space(on_gpus, "s").run.gpus_per_worker == 0
    assert PRESETS["paper"].scale_space(on_gpus, "s").run.gpus_per_worker == 0.5
