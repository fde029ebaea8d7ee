from dataclasses import replace

import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.results.selection import (
    best_final,
    has_mined,
    is_final_readout,
    representatives,
    seeds_of,
    widest,
)
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import classification_record, encoder_record, readout_record, segmentation_record


def test_the_first_seed_of_the_most_repeated_method_of_each_model_and_setting() -> None:
    alone = segmentation_record(seed=0, learning_rate=0.5)
    seeds = [segmentation_record(seed=seed) for seed in (100, 1, 350)]
    other = segmentation_record(seed=7, task={"name": "other"})
    wide = segmentation_record(seed=7, name="wide_3class")
    candidate = segmentation_record(role="candidate", seed=0)
    records = [alone, *seeds, wide, other, candidate, classification_record(0.5, 0)]
    expected = [other, seeds[1], wide]
    assert representatives(records) == expected
    assert representatives(reversed(records)) == expected
    assert representatives(records, [alone.run_id, other.run_id]) == [other, alone, wide]
    assert representatives([]) == []


def test_runs_that_did_not_finish_stand_for_nothing() -> None:
    done = segmentation_record(seed=5)
    stopped = replace(segmentation_record(seed=1), status="stopped")
    failed = RunRecord(**{**{f: getattr(done, f) for f in ("summary", "settings")}, "run_id": "x", "status": "error"})
    assert representatives([stopped, failed, done]) == [done]


def test_readouts_and_encoders_that_mine_are_chosen_alike() -> None:
    readouts = [readout_record(0.5, method=method, seed=seed) for method in ("BYOL", "MYOW") for seed in (2, 1)]
    encoders = [encoder_record(0.5, method=method, seed=3) for method in ("BYOL", "MYOW", "MYOW-m", "PCA")]
    records = [*readouts, *encoders, encoder_record(0.5, method="MYOW", role="candidate", seed=1)]
    assert representatives(records, is_shown=is_final_readout) == [readouts[1], readouts[3]]
    assert representatives(records, is_shown=has_mined) == [encoders[2], encoders[1]]


def test_the_run_with_the_most_slices_of_a_box_stands_for_its_images() -> None:
    sparse = encoder_record(0.5, "task1", preset="smoke")
    coarse, fine = (encoder_record(0.5, task) for task in ("task1_x4", "task1_x1"))
    # ROI-C2 adds whole cubes in other places; of the first ones a readout sees more.
    far, whole = encoder_record(0.5, "task1_c2"), readout_record(0.5)
    other = encoder_record(0.5, data=("bossdb:a", "bossdb:b"))
    assert widest([sparse, coarse, fine]) == [fine]
    assert widest([sparse, fine, far, whole, other, segmentation_record()]) == [other, whole]
    assert widest([segmentation_record()]) == []


def test_the_best_candidate_is_predicted_with_by_its_seeds() -> None:
    low = [segmentation_record(seed=seed, learning_rate=0.1) for seed in (7, 1)]
    high = [segmentation_record(seed=seed, learning_rate=0.5) for seed in (100, 3)]
    candidate = segmentation_record(role="candidate", seed=0, learning_rate=0.5)
    records = [*low, *high, candidate, segmentation_record(seed=2, name="wide_3class")]
    assert best_final([{"run_id": candidate.run_id}], records) == high[1]
    assert seeds_of(high[0], records) == [high[1], high[0]]
    entries = [{"run_id": candidate.run_id}, {"run_id": records[-1].run_id}]
    with pytest.raises(InputError, match=r"--best: there are several experiments: .*wide/.*accepted: --model"):
        best_final(entries, records)
    with pytest.raises(InputError, match=r"--best: no final run of .* is finished"):
        best_final([{"run_id": candidate.run_id}], [candidate])
    # Nothing was searched, and there is one experiment.
    assert best_final([], [low[0]]) == low[0]
