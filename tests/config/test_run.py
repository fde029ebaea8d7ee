import hashlib
from pathlib import Path
from typing import Any, get_args

import pytest

from mtneuro_ray.config.base import Settings, placed
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.config.owners import (
    ComputeSettings,
    DataSettings,
    EvaluationSettings,
    LossSettings,
    OptimizerSettings,
)
from mtneuro_ray.config.run import PROTOCOL_VERSION, RunSettings
from mtneuro_ray.config.task import Cube, TaskSettings
from mtneuro_ray.registry import registry
from tests.config.checks import refused
from tests.settings import cube, network_settings, run_settings

BASE = run_settings()


def test_a_run_id_is_what_it_was() -> None:
    # Finished runs are found by it.
    before = run_settings(task={"absent": "one"})
    assert before.run_id == "1f60e23b7c92838c"
    assert before.train_id != BASE.train_id
    old = before.model_dump(mode="json")
    del old["task"]["absent"]
    assert RunSettings.load(old, "a file from before there was the key") == before


def test_a_default_changes_only_with_the_protocol_version() -> None:
    # Keys at their defaults are no part of a run_id, so another default would give old runs a new meaning: a default
    # that changes raises PROTOCOL_VERSION. A key that is added changes the digest below and nothing else.
    declared = {
        name: registry(kind).find(name).settings for kind in ("models", "methods") for name in registry(kind).names()
    }
    classes = [NetworkSettings, LossSettings, OptimizerSettings, DataSettings, EvaluationSettings, ComputeSettings]
    every = {cls.__name__: cls for cls in (*classes, TaskSettings, Cube)} | declared
    defaults = {
        f"{owner}.{name}": field.default
        for owner, cls in every.items()
        for name, field in cls.model_fields.items()
        if not field.is_required() and not isinstance(field.default, Settings)
    }
    assert PROTOCOL_VERSION == 2
    digest = hashlib.sha256(repr(sorted(defaults.items())).encode()).hexdigest()[:16]
    assert (len(defaults), digest) == (131, "191b111796d050da")


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"learning_rate": 0.02}},
        {"network": {"seed": 1}},
        {"network": {"epochs": 3}},
        {"network": {"precision": "fp32"}},
        {"network": {"name": "other_3class"}},
        {"task": {"name": "other"}},
        {"task": {"max_slices": 1}},
        {"task": {"downsample": 2}},
        {"task": {"annotation_map": {"0": 0, "1": 1, "2": 2}}},
        {"task": {"cubes": [cube(z=(0, 3)), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 10))]}},
        {"role": "candidate"},
        {"data": ("file:other", "file:labels")},
        {"data": ("file:labels", "file:image")},
    ],
    ids=str,
)
def test_everything_that_decides_the_numbers_changes_the_run_id(changes: dict[str, Any]) -> None:
    assert run_settings(**changes).run_id != BASE.run_id


def another(path: str, value: Any) -> Any:
    """A value that this key accepts, other than the one it has."""
    owner, _, key = path.rpartition(".")
    cls = type(getattr(BASE.network, owner)) if owner else NetworkSettings
    choices = get_args(cls.model_fields[key].annotation)
    if choices and value in choices:
        return next((choice for choice in choices if choice != value), None)
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1 if isinstance(value, int) else value / 2 + 0.01
    others = {"loss.name": "dice", "model.normalization": "none", "evaluation.metrics": ["classification"]}
    return {**others, "data.nonfinite": 0.5}.get(path)


def test_every_key_of_the_network_is_part_of_the_run_id() -> None:
    base = run_settings(network={"keep": "average"})
    changed = {path: another(path, value) for path, value in base.network.paths().items() if path != "name"}
    # Keys with one value, and those that name another type of settings.
    assert [path for path, value in changed.items() if value is None] == [
        "model.name",
        "method.name",
        # Of other normalizations.
        "data.low",
        "data.high",
        "data.percentiles",
    ]
    ids = set()
    for path, value in changed.items():
        if value is not None:
            values = base.model_dump(mode="json")
            placed(values["network"], path, value)
            ids.add(RunSettings.load(values, "run").run_id)
    assert len(ids - {base.run_id}) == len(changed) - 5


def test_more_metrics_train_nothing_again() -> None:
    more = run_settings(network={"evaluation": {"metrics": ["classification"]}})
    assert more.run_id != BASE.run_id
    assert more.train_id == BASE.train_id


def test_a_file_of_weights_goes_by_its_content() -> None:
    def run(path: str, digest: str) -> str:
        network = network_settings(model="FPN", encoder_weights=f"file:{path}")
        return BASE.model_copy(update={"network": network, "weights": digest}).run_id

    assert run("/here/w.pt", "sha256:1") == run("/there/w.pt", "sha256:1")
    assert run("/here/w.pt", "sha256:1") != run("/here/w.pt", "sha256:2")


def test_the_content_of_a_file_of_weights_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    network = network_settings(model="FPN", encoder_weights=f"file:{path}")
    ids = []
    for content in (b"one", b"other", b"one"):
        path.write_bytes(content)
        ids.append(RunSettings.of(BASE.task, network, "final", BASE.data).run_id)
    assert ids[0] == ids[2] != ids[1]
    path.unlink()
    with refused(f"encoder_weights: file:{path}: No such file"):
        RunSettings.of(BASE.task, network, "final", BASE.data)


def test_the_address_of_a_channel_is_not_part_of_the_run_id() -> None:
    moved = run_settings(task={"image_chan": "zarr:///elsewhere/image", "annotation_chan": "zarr:///elsewhere/l"})
    assert moved.run_id == BASE.run_id


def test_a_voxel_size_in_an_address_is_part_of_the_id_as_the_key_is() -> None:
    address = {"image_chan": "file:image.npy?voxel_size=4,2,2"}
    sizes: list[dict[str, Any]] = [{}, {"annotation_chan": "file:labels.npy?voxel_size=2"}, address]
    unknown, other, given = (run_settings(task=each).run_id for each in sizes)
    assert unknown == BASE.run_id
    assert len({unknown, other, given}) == 3
    assert run_settings(task={"voxel_size_um": [4, 2, 2]}).run_id == given
    # The identities of resampled volumes hold it.
    target = {"target_voxel_size_um": [2, 2, 2]}
    assert run_settings(task={**address, **target}).run_id == run_settings(task=target).run_id


def test_the_order_of_keys_is_not_part_of_the_run_id() -> None:
    def backwards(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: backwards(value[key]) for key in reversed(value)}
        return [backwards(item) for item in value] if isinstance(value, list) else value

    mapped = run_settings(task={"annotation_map": {"0": 0, "3": 0, "11": 2, "2": 1}})
    assert RunSettings.load(backwards(mapped.model_dump(mode="json")), "run").run_id == mapped.run_id


def test_a_run_s_settings_load_back_as_the_same_run() -> None:
    again = RunSettings.load(BASE.model_dump(mode="json"), "run")
    assert again == BASE
    assert again.run_id == BASE.run_id


def with_cubes(*cubes: dict[str, Any], **changes: Any) -> RunSettings:
    return run_settings(task={"cubes": list(cubes), **changes})


TRAIN, VAL, TEST = cube(), cube(split="val", z=(5, 7)), cube(split="test", z=(8, 10))


def test_what_is_trained_once_is_told_by_the_train_id() -> None:
    assert with_cubes(TRAIN, VAL, TEST).train_id == BASE.train_id
    same = [
        with_cubes(TRAIN, VAL, cube(split="test", z=(11, 15))),
        run_settings(task={"name": "other"}),
        run_settings(role="candidate"),
        run_settings(network={"name": "other_3class"}),
    ]
    assert {run.train_id for run in same} == {BASE.train_id}
    assert len({run.run_id for run in [BASE, *same]}) == 5
    other = [
        with_cubes(cube(z=(0, 3)), VAL, TEST),
        with_cubes(TRAIN, cube(split="val", z=(5, 8)), TEST),
        run_settings(network={"seed": 1}),
        run_settings(network={"epochs": 3}),
        run_settings(task={"downsample": 2}),
        run_settings(data=("file:other", "file:labels")),
    ]
    assert len({run.train_id for run in [BASE, *other]}) == 7


def test_a_readout_goes_by_the_training_of_its_encoder_run() -> None:
    def readout(encoder_run: RunSettings) -> RunSettings:
        return BASE.model_copy(update={"encoder_run": encoder_run})

    other = run_settings(network={"epochs": 3})
    assert readout(BASE).train_id == BASE.train_id
    assert readout(BASE).run_id == readout(with_cubes(TRAIN, VAL, cube(split="test", z=(11, 15)))).run_id
    assert len({run.run_id for run in (BASE, readout(BASE), readout(other))}) == 3
    assert RunSettings.load(readout(BASE).model_dump(mode="json"), "run") == readout(BASE)


def test_the_summary_names_the_run_in_tables() -> None:
    assert BASE.summary() == {
        "model": "net",
        "task": "small",
        "role": "final",
        "learning_rate": 0.01,
        "batch_size": 2,
        "seed": 0,
        "epochs": 2,
    }
