"""Notes on what runs do otherwise than the paper, which follow the settings of the runs."""

from __future__ import annotations

from typing import Any

import pytest

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.results import Results
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import FOUR, THREE, benchmark_record, encoder_record, readout_record
from tests.results.test_method_tables import METHODS


def notes_of(table: str, *records: RunRecord) -> dict[str, str]:
    """Notes of the first table of that name by their subjects."""
    found = next(each for each in Results.of(records).table() if each.title.startswith(table))
    return {subject: text for subject, _, text in (note.partition(": ") for note in found.notes)}


def encoder_notes(method: str = "Supervised", task: str = "task1", **changes: Any) -> dict[str, str]:
    return notes_of("Table", encoder_record(0.8, task, method, **changes))


def test_training_slices_are_counted_from_the_boxes() -> None:
    both = notes_of("Table 1", encoder_record(0.8), encoder_record(0.8, "task1_c3"))
    # 4 x 269 of A-train; those, 4 x 29 of A-val and 4 x 360 of B.
    assert both["Training slices"] == "1076, the paper's 1200 (ROI-C1); 2632, the paper's 2640 (ROI-C3)."
    cubes = load_task("task1")[0].model_dump(mode="json")["cubes"]
    record = encoder_record(0.8)
    record.settings["task"]["cubes"] = [
        {**cube, "z": [110, 410]} if cube["split"] == "train" else cube for cube in cubes if cube["split"] != "val"
    ]
    assert "Training slices" not in notes_of("Table 1", record)
    few = encoder_notes(preset="smoke")
    assert few["Training slices"] == "128, the paper's 1200."


# 33 sub-volumes of 8 slices of each cube: five slices of a cube are no whole one.
@pytest.mark.parametrize(
    ("dim", "iou", "told"),
    [
        (2, THREE, "1076, the paper's 1200."),
        (2, FOUR, "807, the paper's 900."),
        (3, THREE, "1056, the paper's 1200."),
        (3, FOUR, "792, the paper's 900."),
    ],
)
def test_sub_volumes_count_by_their_slices(dim: int, iou: tuple[float, ...], told: str) -> None:
    assert notes_of("Table 2", benchmark_record(iou, dim=dim))["Training slices"] == told


def test_cubes_that_touch_are_named() -> None:
    assert "Test cubes that touch training cubes, as the paper's do" not in encoder_notes()
    both = notes_of("Table 1", encoder_record(0.8, "task1_c2"), encoder_record(0.8, "task1_c3"))
    assert both["Test cubes that touch training cubes, as the paper's do"] == (
        "STR, ZI (ROI-C2); CTX, STR, VP, ZI (ROI-C3)."
    )


@pytest.mark.parametrize(
    ("method", "changes", "told"),
    [
        ("Supervised", {}, "512, the paper's 256."),
        ("Supervised", {"latent_dim": 128}, "128, the paper's 256."),
        ("Supervised", {"latent_dim": 256}, None),
        ("BYOL", {}, "512, the paper's 256."),
        ("Random_ResNet-18_2D", {}, "512, the paper's 256."),
        ("PCA", {}, None),
        ("NMF", {"components": 64}, "64, the paper's 256."),
    ],
    ids=str,
)
def test_the_number_of_features_follows_the_model(method: str, changes: dict[str, Any], told: str | None) -> None:
    assert encoder_notes(method, **changes).get("Features") == told


def test_rate_weight_decay_and_batch_size() -> None:
    assert "Learning rate" not in encoder_notes()
    faster: dict[str, Any] = {"method.base_learning_rate": 0.8}
    assert encoder_notes("BYOL", **faster)["Learning rate"] == "0.8, the paper's 0.03."
    assert encoder_notes()["Weight decay"] == "0, the paper's 0.3."
    assert "Weight decay" not in encoder_notes(weight_decay=0.3)
    assert "Batch size" not in encoder_notes()
    assert encoder_notes(batch_size=64)["Batch size"] == "64, the paper's 256."
    several = notes_of("Table 1", *(encoder_record(0.8, method=method) for method in METHODS))
    assert several["Weight decay"] == "0, the paper's 0.3 (Supervised, Sup w/ Mixup)."


def test_settings_of_the_linear_layer() -> None:
    several = notes_of("Table 1", *(encoder_record(0.8, method=method) for method in METHODS))
    assert several["Linear layer"] == (
        "momentum 0.9, weight decay 0.0005, standardised features, of which the paper says nothing "
        "(BYOL, MYOW, MYOW-m, PCA, NMF)."
    )
    plain: dict[str, Any] = {"optimizer.momentum": 0.0, "optimizer.weight_decay": 0.0, "probe_norm": "none"}
    assert "Linear layer" not in encoder_notes("PCA", **plain)
    assert encoder_notes("PCA", **{**plain, "probe_norm": "standard"})["Linear layer"].startswith("standardised")


def test_losses_of_self_supervised_methods() -> None:
    found = notes_of("Table 1", *(encoder_record(0.8, method=method) for method in METHODS))
    sums, mined = found["Loss"].split("; ")
    assert sums == "the sum over both views, where the public code has the mean (BYOL, MYOW, MYOW-m)"
    assert mined.endswith("(MYOW, MYOW-m).")
    assert "Loss" not in encoder_notes("PCA")


def test_how_the_probability_of_mixup_was_chosen() -> None:
    paper = "the paper's is the best of 0.01, 0.1, 0.3, 0.5, 0.7 for each task."
    finals = [encoder_record(0.8, task, "Sup w/ Mixup") for task in ("task1", "task1_c2")]
    assert notes_of("Table 1", *finals)["Probability of mixup"] == f"0.3, not searched; {paper}"
    searched = [
        encoder_record(0.8, method="Sup w/ Mixup", role="candidate", mixup_probability=p, seed=seed)
        for p in (0.1, 0.3)
        for seed in (1, 2)
    ]
    assert notes_of("Table 1", *finals, *searched)["Probability of mixup"] == (
        f"the best of 0.1, 0.3 on the validation split of task1; {paper}"
    )


def test_task_3_tells_the_gap_and_the_departures_of_its_encoders() -> None:
    found = notes_of("Table 3", readout_record(0.9, method="BYOL"))
    assert found["Held out"] == "10 slices between the train and the test slices are in neither."
    assert found["Training slices"] == "1076, the paper's 1200."
    assert found["Features"] == "512, the paper's 256."
    touching = readout_record(0.9)
    for cube in touching.settings["task"]["cubes"]:
        cube["z"] = [110, 420] if cube["split"] == "train" else cube["z"]
    touching.settings["task"]["cubes"] = [c for c in touching.settings["task"]["cubes"] if c["split"] != "val"]
    assert notes_of("Table 3", touching)["Held out"].startswith("0 slices between")


def test_encoders_of_task_2() -> None:
    theirs = "the paper's efficientnet-b7 with imagenet weights"
    manet: dict[str, Any] = {"model": "MAnet", "name": "MAnet_3class"}
    found = notes_of("Table 2", benchmark_record(), benchmark_record(**manet, encoder_name="resnet18"))
    own, other = f"the network's own, random weights; {theirs}", f"resnet18 with imagenet weights; {theirs}"
    assert found["Encoder"] == f"{own} (2D U-Net); {other} (MA-Net [1])."
    assert "Encoder" not in notes_of("Table 2", benchmark_record(**manet))
    assert "Encoder" not in notes_of("Table 2", benchmark_record(dim=3, model="VNetLight", name="VNetLight_3class"))


@pytest.mark.parametrize("batches", [(1,), (2, 4, 6, 8, 10)])
def test_the_search_of_task_2_is_told_where_it_is_not_the_paper_s(batches: tuple[int, ...]) -> None:
    rates = (0.001, 0.005, 0.01, 0.05, 0.1)
    theirs = "learning rates 0.001, 0.005, 0.01, 0.05, 0.1 and batch sizes 2, 4, 6, 8, 10 in the paper."
    assert notes_of("Table 2, II", benchmark_record(dim=3))["Search"] == f"none among these runs; {theirs}"
    searched = [
        benchmark_record(dim=3, role="candidate", learning_rate=rate, batch_size=batch)
        for rate in rates
        for batch in batches
    ]
    for table in ("Table 2, II", "Table A4"):
        found = notes_of(table, benchmark_record(dim=3), *searched).get("Search")
        expected = f"learning rates 0.001, 0.005, 0.01, 0.05, 0.1 and batch sizes 1; {theirs}"
        assert found == (expected if batches == (1,) else None)
