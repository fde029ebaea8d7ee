from pathlib import Path

import pytest

from mtneuro_ray.config.loading import packaged_names
from mtneuro_ray.config.space import load_space
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.models import MODELS
from tests.config.checks import refused
from tests.settings import network_values, task_values, write_json

ONE = """
task = "task2_2D_4class"
network = "UNet_2D_4class"
seeds = [1, 100]
[search]
axes.learning_rate = [0.1, 0.01]
axes.batch_size = [4, 8]
"""
SETTINGS = """
seeds = [1]
[search]
axes.learning_rate = [0.1]
[[experiments]]
task = "task2_2D_3class"
network = "UNet_2D_3class"
[[experiments]]
task = "task2_2D_4class"
network = "UNet_2D_4class"
seeds = [2, 3]
search.axes.batch_size = [2]
"""


def write(folder: Path, text: str, name: str = "space.toml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_the_text_null_is_null_in_set(tmp_path: Path) -> None:
    text = ONE.replace("UNet_2D_4class", "FPN_4class") + '[set]\nencoder_weights = "null"\n'
    _, ((_, pair),) = load_sweep(write(tmp_path, text))
    assert pair.network.model.model_dump()["encoder_weights"] is None


def test_one_experiment_at_the_top_of_the_file(tmp_path: Path) -> None:
    space, entries = load_sweep(write(tmp_path, ONE))
    assert space.name == "space"
    [(experiment, pair)] = entries
    assert experiment.seeds == (1, 100)
    assert (pair.task.name, pair.network.name) == ("task2_2D_4class", "UNet_2D_4class")
    assert experiment.search.candidates == [
        {"learning_rate": lr, "batch_size": batch} for lr in (0.1, 0.01) for batch in (4, 8)
    ]


def test_experiments_share_the_top_and_may_say_otherwise(tmp_path: Path) -> None:
    first, second = load_space(Path(write(tmp_path, SETTINGS))).experiments
    assert (first.seeds, first.search.axes) == ((1,), {"learning_rate": (0.1,)})
    assert (second.seeds, second.search.axes) == ((2, 3), {"batch_size": (2,)})


def test_included_experiments_come_first_and_take_the_outer_keys(tmp_path: Path) -> None:
    write(tmp_path, SETTINGS, "inner.toml")
    outer = 'include = ["inner.toml"]\nseeds = [7]\n[[experiments]]\ntask = "task1"\nnetwork = "SUP_ResNet-18_2D"\n'
    space = load_space(Path(write(tmp_path, outer + "search.axes.learning_rate = [0.03]\n")))
    assert [experiment.task for experiment in space.experiments] == ["task2_2D_3class", "task2_2D_4class", "task1"]
    assert {experiment.seeds for experiment in space.experiments} == {(7,)}
    assert [list(experiment.search.axes) for experiment in space.experiments] == [
        ["learning_rate"],
        ["batch_size"],
        ["learning_rate"],
    ]


def test_an_included_file_may_leave_out_what_the_outer_one_says(tmp_path: Path) -> None:
    write(tmp_path, 'task = "task1"\nnetwork = "SUP_ResNet-18_2D"\n', "inner.toml")
    outer = 'include = ["inner.toml"]\nseeds = [7]\nsearch.axes.learning_rate = [0.03]\n'
    assert len(load_space(Path(write(tmp_path, outer))).experiments) == 1


@pytest.mark.parametrize("inner", ['include = ["outer.toml"]', 'include = ["inner.toml"]'])
def test_files_that_include_each_other_are_refused(tmp_path: Path, inner: str) -> None:
    write(tmp_path, inner, "inner.toml")
    with refused("include: includes itself"):
        load_space(Path(write(tmp_path, 'include = ["inner.toml"]', "outer.toml")))


def test_a_missing_include_is_named(tmp_path: Path) -> None:
    with refused(f"{tmp_path / 'none.toml'}: no such file"):
        load_space(Path(write(tmp_path, 'include = ["none.toml"]')))


@pytest.mark.parametrize(
    ("inner", "parts"),
    [
        ('colour = "red"\n' + ONE, ["inner.toml: colour: unknown key", "experiments"]),
        ('volume = "phantom"\n' + ONE, ["outer.toml: volume: is None, the included inner.toml has 'phantom'"]),
        ('preset = "smoke"\n' + ONE, ["outer.toml: preset: is None, the included inner.toml has 'smoke'"]),
    ],
)
def test_no_key_of_an_included_file_is_lost_in_silence(tmp_path: Path, inner: str, parts: list[str]) -> None:
    write(tmp_path, inner, "inner.toml")
    with refused(*parts):
        load_space(Path(write(tmp_path, 'include = ["inner.toml"]', "outer.toml")))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("seeds = [1", [": broken TOML: ", "TOML 1.0"]),
        ("x = " + "[" * 5000, [": can't be read as TOML", "TOML 1.0"]),
        ("seeds = 2020-01-01\n" + ONE.replace("seeds = [1, 100]", ""), [": Object of type date"]),
        ('colour = "red"\n' + ONE, [": colour: unknown key", "experiments"]),
        (ONE + "\n[run]\nspeed = 1", [": run.speed: unknown key", "max_concurrent"]),
        (ONE + "\n[run]\nworkers_per_trial = 0", [": run.workers_per_trial: is 0"]),
        (ONE + '\n[run]\nmemory_budget = "2 gigs"', [": run.memory_budget: is '2 gigs'", "a number of bytes", "2GB"]),
        (ONE + "\n[run]\nmemory_budget = 0", [": run.memory_budget: is 0"]),
        (ONE + "\n[run]\nworkers_per_trial = 2", [": run.max_concurrent: is missing", "requires it"]),
        (ONE + "\n[run]\ngpus_per_worker = inf", [": run.gpus_per_worker: is inf"]),
        (ONE + '\n[run]\nscheduler = "hyperband"', [": run.scheduler: is 'hyperband'", "'none' or 'asha'"]),
        (ONE + "\n[run]\nasha.grace_epochs = 0", [": run.asha.grace_epochs: is 0"]),
        (ONE + "\n[run]\nasha.reduction_factor = 1", [": run.asha.reduction_factor: is 1", "greater than 1"]),
        (ONE + "\n[run]\nasha.grace = 1", [": run.asha.grace: unknown key", "grace_epochs, reduction_factor"]),
        (
            ONE + '\n[run]\nscheduler = "asha"\nworkers_per_trial = 2\nmax_concurrent = 1',
            [": run.scheduler: 'asha' can't stop trials that have workers of their own", "workers_per_trial = 1"],
        ),
        (ONE.replace("seeds = [1, 100]", ""), [": experiments.0.seeds: is missing; this key is required"]),
        (ONE.replace("[1, 100]", "[]"), [": experiments.0.seeds: is []"]),
        (ONE.replace("[1, 100]", "[1, 1]"), [": experiments.0.seeds: a seed stands twice", "distinct"]),
        (ONE.replace("[1, 100]", "[-1]"), [": experiments.0.seeds.0: is -1"]),
        (ONE.replace("[1, 100]", "1"), [": experiments.0.seeds: is 1"]),
        (
            ONE.replace("[4, 8]", "[4, 4]"),
            [": experiments.0: search.axes.batch_size: a value stands twice", "distinct"],
        ),
        (ONE.replace("[4, 8]", "[]"), [": experiments.0.search.axes.batch_size: is []"]),
        (
            ONE.replace("batch_size", "batchsize"),
            [
                ": experiments.0: search.axes.batchsize: batchsize: unknown key of UNet with supervised",
                "did you mean 'batch_size'?",
            ],
        ),
        (ONE.replace("batch_size = [4, 8]", "seed = [4, 8]"), [": experiments.0: search.axes.seed: can't be searched"]),
        (ONE.replace("batch_size = [4, 8]", 'name = ["a"]'), [": experiments.0: search.axes.name: can't be searched"]),
        (ONE + "trials = 3", [": experiments.0: search.trials: has no meaning for a grid"]),
        (ONE + 'sampler = "bayes"', [": experiments.0.search.sampler: is 'bayes'", "'grid', 'random' or 'tpe'"]),
        ('mode = "best"\n' + ONE, [": experiments.0.mode: is 'best'", "'max' or 'min'"]),
        ("experiments = 3\n" + ONE, [": experiments: is 3", "[[experiments]]"]),
        ('experiments = ["a"]\n' + ONE, [": experiments: is ['a']", "[[experiments]]"]),
        ("experiments = {}\n" + ONE, [": experiments: is {}", "[[experiments]]"]),
        ("experiments = []\n" + ONE, [": experiments: is []"]),
        ('include = "a.toml"\n' + ONE, [": include: is 'a.toml'"]),
        ("include = [1]\n" + ONE, [": include: is [1]"]),
        (SETTINGS.replace("3class", "4class"), [": experiments.1: task2_2D_4class with UNet_2D_4class stands twice"]),
        (ONE.replace('"task2_2D_4class"', '"no_task"'), ["no_task: no such file", "task2_2D_4class"]),
        (
            ONE.replace('"UNet_2D_4class"', '"UNet_2D_3class"'),
            ["classes: the network has 3 classes, the task"],
        ),
        (ONE.replace("[4, 8]", "[4, 2.5]"), [": experiments.0.search.axes: data.batch_size: is 2.5"]),
        (
            ONE.replace("batch_size = [4, 8]", "n_blocks = [4, 10]"),
            [": experiments.0.search.axes: model.n_blocks: is"],
        ),
        (ONE.replace("batch_size = [4, 8]", "dim = [3]"), [": experiments.0: search.axes.dim: can't be searched"]),
        (ONE.replace("[search]", "set = {epoch = 1}\n[search]"), [": experiments.0.set: epoch: unknown key", "epochs"]),
        (
            ONE.replace("[search]", "set = {epochs = 1, optimizer.epochs = 2}\n[search]"),
            [": experiments.0.set: optimizer.epochs: stands twice, as epochs too", "once"],
        ),
        (ONE.replace("[search]", "set = {where = 1}\n[search]"), [": experiments.0.set: where: unknown key"]),
        ('mode = "max"\nmetric = "val/loss"\n' + ONE, [": experiments.0.mode: 'max' would select the worst val/loss"]),
        ('mode = "min"\n' + ONE, [": experiments.0.mode: 'min' would select the worst val/dataset/iou_mean"]),
        ('metric = "test/dataset/iou_mean"\n' + ONE, [": experiments.0.metric: 'test/dataset/iou_mean' can't select"]),
        ('preset = "fast"\n' + ONE, [": preset: 'fast' is no preset", "smoke, paper"]),
    ],
    ids=lambda value: value[0][:50] if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_with_file_and_key(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = write(tmp_path, text)
    with refused(*((path + parts[0], *parts[1:]) if parts[0].startswith(": ") else parts)):
        load_sweep(path)


def two_settings(*pairs: tuple[str, str]) -> str:
    tables = "".join(f'[[experiments]]\ntask = "{task}"\nnetwork = "{network}"\n' for task, network in pairs)
    return "seeds = [1]\nsearch.axes.learning_rate = [0.1]\n" + tables


def test_tasks_and_networks_of_a_sweep_have_names_of_their_own(tmp_path: Path) -> None:
    one = write_json(tmp_path / "a.json", task_values())
    deeper = write_json(tmp_path / "b.json", task_values(max_slices=1))
    network = write_json(tmp_path / "n.json", network_values(name="n"))
    same = write_json(tmp_path / "m.json", network_values(name="n"))
    other = write_json(tmp_path / "o.json", network_values(name="o"))
    _, entries = load_sweep(write(tmp_path, two_settings((one, network), (one, other))))
    assert len(entries) == 2
    with refused("experiments.1: n on small stands twice"):
        load_sweep(write(tmp_path, two_settings((one, network), (one, same))))
    with refused("experiments.1: another task is called small, too"):
        load_sweep(write(tmp_path, two_settings((one, network), (deeper, other))))


def test_one_mistake_is_counted_as_one(tmp_path: Path) -> None:
    with refused("experiments.0.mode: is 'best'") as caught:
        load_space(Path(write(tmp_path, 'mode = "best"\n' + ONE)))
    assert "more)" not in str(caught.value)


def test_the_space_s_volume_and_preset_hold_unless_others_are_given(tmp_path: Path) -> None:
    path = write(tmp_path, 'volume = "phantom"\npreset = "smoke"\n' + ONE)
    _, [(_, pair)] = load_sweep(path)
    assert pair.task.image_chan == "phantom://thalamocortical/image?seed=0"
    assert pair.task.tile_size == (128, 128)
    _, [(_, pair)] = load_sweep(path, volume="zarr:///data/x", preset="paper")
    assert pair.task.image_chan == "zarr:///data/x/image"
    assert pair.task.tile_size == (256, 256)


def test_overrides_and_set_reach_the_network_of_every_candidate(tmp_path: Path) -> None:
    path = write(tmp_path, ONE.replace("[search]", "set = {weight_decay = 0.5}\n[search]"))
    _, [(_, pair)] = load_sweep(path, overrides=["epochs=3"])
    assert (pair.network.optimizer.weight_decay, pair.network.optimizer.epochs) == (0.5, 3)


@pytest.mark.parametrize("key", ["learning_rate", "optimizer.learning_rate"])
def test_an_override_of_an_axis_is_refused(tmp_path: Path, key: str) -> None:
    path = write(tmp_path, ONE)
    with refused(f"--set: {key}: is an axis of {path}: experiments.0, which would overrule it", "other keys"):
        load_sweep(path, overrides=["epochs=3", f"{key}=0.5"])


@pytest.mark.parametrize(("sampler", "trials", "candidates"), [("grid", "", 4), ("random", 3, 3), ("random", 9, 4)])
def test_samplers_train_at_most_the_candidates_of_the_grid(
    tmp_path: Path, sampler: str, trials: object, candidates: int
) -> None:
    text = ONE + f'sampler = "{sampler}"\n' + (f"trials = {trials}\n" if trials else "")
    [experiment] = load_space(Path(write(tmp_path, text))).experiments
    chosen = [tuple(candidate.items()) for candidate in experiment.search.candidates]
    assert len(chosen) == len(set(chosen)) == candidates
    [again] = load_space(Path(write(tmp_path, text))).experiments
    assert again.search.candidates == experiment.search.candidates


def test_changes_of_the_top_of_an_experiment_and_of_whoever_includes_it_add_up(tmp_path: Path) -> None:
    inner = tmp_path / "inner.toml"
    inner.write_text(
        'task = "task2_2D_4class"\nseeds = [1]\nset.weight_decay = 0.5\nset.epochs = 7\nset.batch_size = 4\n'
        '[[experiments]]\nnetwork = "UNet_2D"\n[[experiments]]\nnetwork = "FPN"\nset.epochs = 8\n'
    )
    outer = tmp_path / "outer.toml"
    outer.write_text('include = ["inner.toml"]\nset.batch_size = 2\n')

    assert [experiment.set for experiment in load_space(outer).experiments] == [
        {"weight_decay": 0.5, "epochs": 7, "batch_size": 2},
        {"weight_decay": 0.5, "epochs": 8, "batch_size": 2},
    ]
    # A key that one file names by its path and the other by its last part is one key.
    outer.write_text('include = ["inner.toml"]\nset.optimizer.epochs = 5\nset.data = {batch_size = 3}\n')
    assert [experiment.set for experiment in load_space(outer).experiments] == [
        {"weight_decay": 0.5, "optimizer.epochs": 5, "data.batch_size": 3}
    ] * 2


@pytest.mark.parametrize(
    ("preset", "names"), [("paper", packaged_names("spaces")), ("smoke", ["task1/all", "task2/all", "task3/all"])]
)
def test_spaces_of_the_checkout_load_by_name(preset: str, names: list[str]) -> None:
    for name in names:
        space, entries = load_sweep(name, preset=preset)
        assert len(entries) == len(space.experiments) > 0


def test_one_space_holds_all_of_task_2() -> None:
    _, entries = load_sweep("task2/all")
    pairs = {(pair.network.table_name, pair.task.name) for _, pair in entries}
    assert len(pairs) == len(entries) == 18
    assert {pair.network.model.name for _, pair in entries} == {
        name for name in MODELS.names() if "voxel" in MODELS.find(name).predicts
    }
    for experiment, pair in entries:
        candidates = experiment.search.candidates
        assert {candidate["learning_rate"] for candidate in candidates} == {0.1, 0.05, 0.01, 0.005, 0.001}
        assert {candidate["batch_size"] for candidate in candidates} == (
            {2, 4, 6, 8, 10} if pair.network.model.dim == 2 else {1}
        )
        assert experiment.seeds == (1, 100, 350, 631, 872)


def test_paths_of_files_are_relative_to_the_space_that_names_them(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "one.toml").write_text(
        'task = "t.json"\nnetwork = "UNet_2D_4class"\nseeds = [1]\n[search.axes]\nepochs = [1]\n'
    )
    (tmp_path / "all.toml").write_text('include = ["inner/one.toml"]\n')
    [experiment] = load_space(tmp_path / "all.toml").experiments
    assert experiment.task == str(inner / "t.json")
    assert experiment.network == "UNet_2D_4class"


def test_a_loss_is_minimised_unless_somebody_asks_for_the_largest(tmp_path: Path) -> None:
    _, [(experiment, _)] = load_sweep(write(tmp_path, 'metric = "val/loss"\n' + ONE))
    assert (experiment.metric, experiment.mode) == ("val/loss", "min")
    _, [(experiment, _)] = load_sweep(write(tmp_path, 'metric = "val/image/f1_mean"\n' + ONE))
    assert experiment.mode == "max"


def test_changes_may_be_nested_tables(tmp_path: Path) -> None:
    text = ONE.replace("[search]", "set.optimizer.weight_decay = 0.5\nset.model.n_blocks = 3\n[search]")
    _, [(_, pair)] = load_sweep(write(tmp_path, text))
    paths = pair.network.paths()
    assert (paths["optimizer.weight_decay"], paths["model.n_blocks"]) == (0.5, 3)
