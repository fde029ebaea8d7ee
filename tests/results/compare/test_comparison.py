from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.results import Results
from mtneuro_ray.results.compare.comparison import Comparison
from mtneuro_ray.results.compare.contrast import NO_COMMON_SEED, NO_SCORES, OTHER_IMAGES, adjusted
from mtneuro_ray.results.compare.effect import Effect, EffectLayout
from tests.results.compare.scored import IMAGES, TASK, confusions, write_experiment, write_run
from tests.results.records import benchmark_record, classification_record
from tests.settings import cube

OTHER: dict[str, Any] = {"name": "other_3class", "start_filters": 8}


def compared(*outs: Path, **options: object) -> Comparison:
    first, *others = map(Results, outs)
    [found] = first.compare(*others, **options)  # type: ignore[arg-type]
    return found


def test_a_difference_beyond_seeds_and_images_is_told_in_a_sentence(tmp_path: Path) -> None:
    write_experiment(tmp_path, 0.10)
    write_experiment(tmp_path, 0.14, first=50, **OTHER)
    found = compared(tmp_path)
    [contrast] = found.contrasts
    assert [each.name for each in found.experiments] == ["net", "other"]
    number = r"(\d\.\d+)"
    match = re.fullmatch(
        rf"net is better than other by {number} IoU \(dataset\), 95 % interval {number} to {number}, 3 seeds, "
        rf"{IMAGES} images in (\d+) blocks\.",
        contrast.sentence,
    )
    assert match is not None
    size, low, high = (float(text) for text in match.groups()[:3])
    assert low < size < high
    runs = Results(tmp_path).runs()
    means = [
        np.mean([run["test/dataset/iou_mean"] for run in runs if run["model"] == name]) for name in ("net", "other")
    ]
    assert contrast.effect.difference == pytest.approx(means[0] - means[1])
    assert found.ranks is not None
    assert found.ranks.first.tolist() == [1.0, 0.0]


def test_equal_experiments_cannot_be_told_apart_and_the_power_is_named(tmp_path: Path) -> None:
    write_experiment(tmp_path, 0.1)
    write_experiment(tmp_path, 0.1, first=50, **OTHER)
    [contrast] = compared(tmp_path).contrasts
    assert not contrast.is_told_apart
    assert re.search(r" can't be told apart: the difference is .* would be found 8 times of 10\.$", contrast.sentence)


def test_what_holm_alone_keeps_together_is_told_with_both_p() -> None:
    effect = Effect(0.12, 0.05, 20.0, "seeds", EffectLayout(3))
    first, *_, last = adjusted([("a", other, effect) for other in "bcde"], "IoU")
    assert first.effect.p < 0.05 < first.p
    assert first.sentence == (
        "a and b can't be told apart in a table of 4 differences: this one is 0.120 IoU, 95 % interval 0.016 to 0.224, "
        f"3 seeds, on these images; p is {effect.p:.2g} by itself and {first.p:.2g} among all (Holm)."
    )
    assert last.sentence.startswith("a and e can't be told apart in a table")


def test_methods_of_one_name_are_told_by_the_settings_in_which_they_differ(tmp_path: Path) -> None:
    write_experiment(tmp_path / "a", 0.10)
    write_experiment(tmp_path / "b", 0.14, first=50, learning_rate=0.5)
    found = compared(tmp_path / "a", tmp_path / "b")
    assert [each.name for each in found.experiments] == ["net, learning_rate 0.01", "net, learning_rate 0.5"]


def test_the_same_runs_in_two_folders_do_not_differ(tmp_path: Path) -> None:
    write_experiment(tmp_path / "a", 0.10)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    [contrast] = compared(tmp_path / "a", tmp_path / "b").contrasts
    assert (contrast.first, contrast.second) == (f"net ({tmp_path / 'a'})", f"net ({tmp_path / 'b'})")
    assert (contrast.effect.difference, contrast.p) == (0.0, 1.0)


def test_one_seed_speaks_of_these_trained_models_alone(tmp_path: Path) -> None:
    write_experiment(tmp_path, 0.10, (1,))
    write_experiment(tmp_path, 0.20, (1,), first=50, **OTHER)
    found = compared(tmp_path)
    assert ", 1 seed (these trained models alone), 96 images in " in found.sentences[0]
    assert "With fewer than 3 seeds nothing is said about models that are trained again." in found.notes


def test_without_scores_of_images_seeds_judge_and_how_to_get_them_is_said(tmp_path: Path) -> None:
    write_experiment(tmp_path, 0.10, scores=False)
    write_experiment(tmp_path, 0.14, first=50, **OTHER)
    found = compared(tmp_path)
    assert found.contrasts[0].effect.basis == "seeds"
    assert found.sentences[0].endswith("3 seeds, on these images.")
    assert NO_SCORES in found.notes


def test_one_seed_without_scores_is_not_enough(tmp_path: Path) -> None:
    write_experiment(tmp_path, 0.10, (1,), scores=False)
    write_experiment(tmp_path, 0.14, (1,), scores=False, **OTHER)
    found = compared(tmp_path)
    assert " can't be compared: the difference is 0." in found.sentences[0]
    assert found.sentences[0].endswith("needed: scores of single images in 4 blocks, or 2 seeds.")
    assert found.rows[0]["p"] is None


def test_seeds_are_paired_in_their_order_if_none_is_common(tmp_path: Path) -> None:
    write_experiment(tmp_path, 0.10, (1, 2, 3))
    write_experiment(tmp_path, 0.14, (4, 5), **OTHER)
    found = compared(tmp_path)
    assert found.contrasts[0].effect.layout.seeds == 2
    assert NO_COMMON_SEED in found.notes


def test_other_images_are_not_paired(tmp_path: Path) -> None:
    write_experiment(tmp_path, 0.10)
    boxes = [*TASK["cubes"][:-1], cube("D", split="test", z=(0, 24), x=[400, 416])]
    for seed in (1, 2, 3):
        write_run(tmp_path, confusions(0.14, seed), task={"cubes": boxes}, seed=seed, **OTHER)
    found = compared(tmp_path)
    assert found.contrasts[0].effect.basis == "seeds"
    assert OTHER_IMAGES in found.notes


def test_all_pairs_are_adjusted_together(tmp_path: Path) -> None:
    for number, error in enumerate((0.10, 0.11, 0.14)):
        write_experiment(tmp_path, error, first=50 * number, name=f"net{number}_3class", start_filters=4 + number)
    best, pairs = compared(tmp_path), compared(tmp_path, pairs=True)
    assert [(each.first, each.second) for each in best.contrasts] == [("net0", "net1"), ("net0", "net2")]
    assert len(pairs.contrasts) == 3
    assert all(each.p >= each.effect.p for each in pairs.contrasts)
    assert pairs.contrasts[1].effect == best.contrasts[1].effect
    assert pairs.contrasts[1].p >= best.contrasts[1].p
    assert compared(tmp_path).rows == best.rows


def test_another_metric_one_class_and_another_block_length(tmp_path: Path) -> None:
    write_experiment(tmp_path, 0.10)
    write_experiment(tmp_path, 0.14, first=50, **OTHER)
    found = compared(tmp_path, metric="dataset/iou:vessels", block=6)
    assert "IoU (dataset) of vessels, test split" in found.title
    assert (found.contrasts[0].effect.layout.block, found.contrasts[0].effect.layout.blocks) == (6, 16)
    loss = compared(tmp_path, metric="test/loss")
    assert loss.contrasts[0].effect.basis == "seeds"
    with pytest.raises(InputError, match=r"--metric: no final run has 'iou'; .*accepted: .*test/dataset/iou_mean"):
        Results(tmp_path).compare(metric="iou")


def test_what_cannot_be_compared_is_one_line(tmp_path: Path) -> None:
    write_experiment(tmp_path, 0.10)
    with pytest.raises(InputError, match="there is nothing to compare; accepted: two experiments of one task"):
        Results(tmp_path).compare()
    with pytest.raises(InputError, match="nothing to compare; accepted: a finished run of one of the paper's methods"):
        Results(tmp_path).compare(paper=True)


def test_a_run_is_compared_with_the_paper_s_value_over_seeds() -> None:
    records = [benchmark_record((0.5 + seed / 100, 0.3, 0.2), seed=seed) for seed in (1, 2, 3)]
    [found] = Results.of(records).compare(paper=True)
    [contrast] = found.contrasts
    assert (contrast.first, contrast.second) == ("2D U-Net", "paper (prasad2020)")
    size, low, high = (float(text) for text in re.findall(r"0\.\d+", contrast.sentence))
    assert contrast.sentence.startswith(f"2D U-Net is worse than paper (prasad2020) by {size}")
    assert low < size < high
    assert contrast.effect.basis == "seeds"
    assert any("compares across data sets" in note for note in found.notes)


def test_trainings_of_other_lengths_are_compared_and_told_by_their_epochs() -> None:
    records = [
        benchmark_record((0.3 + epochs / 50 + seed / 100, 0.3, 0.2), seed=seed, epochs=epochs)
        for seed in (1, 2, 3)
        for epochs in (5, 20)
    ]
    [found] = Results.of(records).compare()
    assert [each.name for each in found.experiments] == ["2D U-Net, epochs 20", "2D U-Net, epochs 5"]
    assert "epochs" not in found.title


def test_smaller_values_of_a_loss_are_better() -> None:
    values = {1: 0.9, 2: 0.91, 3: 0.92}
    records = [classification_record(accuracy, seed) for seed, accuracy in values.items()]
    records += [
        classification_record(accuracy - 0.1, seed, name="bad", dropout=0.1) for seed, accuracy in values.items()
    ]
    for record in records:
        record.metrics["test"]["loss"] = 1 - record.metrics["test"]["accuracy"]
    [accuracy] = Results.of(records).compare()
    [loss] = Results.of(records).compare(metric="loss")
    assert accuracy.contrasts[0].first == loss.contrasts[0].first == "res"
    assert accuracy.contrasts[0].effect.difference == pytest.approx(0.1)
    assert loss.contrasts[0].effect.difference == pytest.approx(0.1)
