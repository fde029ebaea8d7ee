from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.cluster.ray_data import SplitRefs, get_splits, share_task
from mtneuro_ray.cluster.shared import get_encoder, share_encoder
from mtneuro_ray.cluster.trial import train_on_workers
from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.resources import ResourceSettings
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.space import ExperimentSpace, SearchSettings
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.samples import load_splits
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.engine.execute import train_here
from mtneuro_ray.errors import InputError
from mtneuro_ray.models.build import build_model
from mtneuro_ray.models.library import fetch_encoder
from mtneuro_ray.models.pretrained import load_encoder_weights
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from mtneuro_ray.sweep.experiment import Experiment
from tests.settings import network_settings
from tests.tiny import write_tiny

pytestmark = pytest.mark.ray


def _ready(folder: Path, **network: Any) -> tuple[Experiment, RunSettings, SplitRefs]:
    tiny = write_tiny(folder / "tiny", **network)
    pair = load_pair(str(tiny.task), str(tiny.network))
    store = CutoutStore(Folder(folder / "store"))
    identities = tuple(channel.identity for channel in open_volumes(pair.task, tiny.task).channels)
    space = ExperimentSpace(task="t", network="n", seeds=(5,), search=SearchSettings(axes={"learning_rate": (0.001,)}))
    experiment = Experiment(space, pair, identities)
    return experiment, experiment.final_runs({"learning_rate": 0.001})[0].run, share_task(store, pair.task, tiny.task)


@pytest.mark.slow
def test_one_process_a_trial_and_one_or_two_workers_find_the_same(cluster: None, tmp_path: Path) -> None:
    experiment, run, splits = _ready(tmp_path, augmentations=True, batch_size=7, optimizer="SGD", learning_rate=0.001)
    assert len(get_splits(splits)["train"]) % 7 != 0
    here = train_here(run, get_splits(splits), Folder(tmp_path / "here"))
    assert here.status == "done"

    where = Where(CutoutStore(Folder(tmp_path / "store")), Folder(tmp_path / "trial"))
    assert sweep([(experiment.space, experiment.pair)], ResourceSettings(), where) == []
    trial = RunFolder(Folder(tmp_path / "trial")).read(run.run_id)
    assert trial is not None
    one = train_on_workers(run, splits, Folder(tmp_path / "one"), ResourceSettings())
    both = ResourceSettings(workers_per_trial=2, max_concurrent=1)
    two = train_on_workers(run, splits, Folder(tmp_path / "two"), both)

    for other in (trial, one):
        assert other.metrics == here.metrics
        assert other.history == here.history
    assert two.placement["workers"] == 2
    # No image is lost or counted twice.
    assert _images(two) == _images(here)
    for key in ("train/loss", "val/loss"):
        assert [entry[key] for entry in two.history] == pytest.approx([entry[key] for entry in here.history], rel=1e-3)


@pytest.mark.slow
def test_damaged_files_of_ray_train_and_an_old_error_do_not_stay(cluster: None, tmp_path: Path) -> None:
    _, run, splits = _ready(tmp_path)
    out = Folder(tmp_path / "out")
    state = "checkpoint_manager_snapshot.json"
    (out / "ray" / run.run_id).write(state, b"{damaged")
    RunFolder(out).write(RunRecord.failed(run, "an old error"))
    unread: SplitRefs = {split: reference for split, reference in splits.items() if split != "train"}
    failed = train_on_workers(run, unread, out, ResourceSettings())
    assert failed.status == "error"
    assert failed.error != "an old error"
    (out / "ray" / run.run_id).write(state, b"{damaged")
    assert train_on_workers(run, splits, out, ResourceSettings()).status == "done"


def _images(record: RunRecord) -> int:
    return sum(sum(row) for row in record.metrics["test"]["confusion"])


def test_weights_of_an_encoder_are_read_once_and_mapped_by_every_worker(cluster: None, tmp_path: Path) -> None:
    network = network_settings(model="FPN", encoder_name="resnet18", encoder_weights=None)
    encoder = build_model(network).get_submodule("encoder")
    torch.save(encoder.state_dict(), tmp_path / "weights.pt")
    network = network.replace("n", encoder_weights=f"file:{tmp_path / 'weights.pt'}")
    shared = get_encoder(share_encoder(network))
    assert shared is not None
    assert shared.keys() == encoder.state_dict().keys()
    model = build_model(network)
    load_encoder_weights(model, shared)
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(model.get_submodule("encoder").state_dict()[name], tensor)
    (tmp_path / "weights.pt").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"encoder_weights: .*weights\.pt: .*; accepted"):
        share_encoder(network)


@pytest.mark.slow
def test_trials_start_from_the_weights_of_their_encoder(cluster: None, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"model": "PSPNet", "encoder_name": "resnet18", "batch_size": 8, "epochs": 1}
    tiny = write_tiny(tmp_path / "tiny", tile=32, **settings)
    torch.manual_seed(3)
    other = network_settings(model="PSPNet", encoder_name="resnet18")
    torch.save(build_model(other).get_submodule("encoder").state_dict(), tmp_path / "weights.pt")
    records = {}
    for weights in ("null", f"file:{tmp_path / 'weights.pt'}"):
        pair = load_pair(str(tiny.task), str(tiny.network), overrides=[f"encoder_weights={weights}"])
        store, out = CutoutStore(Folder(tmp_path / "store")), Folder(tmp_path / "out")
        identities = [channel.identity for channel in open_volumes(pair.task, tiny.task).channels]
        space = ExperimentSpace(
            task="t", network="n", seeds=(5,), search=SearchSettings(axes={"learning_rate": (0.001,)})
        )
        [plan] = Experiment(space, pair, tuple(identities)).final_runs({"learning_rate": 0.001})
        assert sweep([(space, pair)], ResourceSettings(), Where(store, out)) == []
        trial = RunFolder(out).read(plan.run_id)
        image, labels = identities
        splits, encoder = load_splits(store, Identities((image,), labels), pair.task), fetch_encoder(plan.run.network)
        here = train_here(plan.run, splits, Folder(tmp_path / "here"), encoder=encoder)
        assert trial is not None
        assert (trial.status, trial.history, trial.metrics) == ("done", here.history, here.metrics)
        records[weights] = trial
    assert len({record.run_id for record in records.values()}) == 2
    assert len({record.history[0]["train/loss"] for record in records.values()}) == 2
