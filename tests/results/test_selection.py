from dataclasses import replace

from mtneuro_ray.results.record import RunRecord
from mtneuro_ray.results.selection import representatives
from tests.results.records import classification_record, segmentation_record


def test_the_first_seed_of_the_most_repeated_method_of_each_model_and_setting() -> None:
    alone = segmentation_record(seed=0, learning_rate=0.5)
    seeds = [segmentation_record(seed=seed) for seed in (100, 1, 350)]
    other = segmentation_record(seed=7, task={"name": "other"})
    wide = segmentation_record(seed=7, name="wide_3class")
    cell = segmentation_record(role="cell", seed=0)
    records = [alone, *seeds, wide, other, cell, classification_record(0.5, 0)]
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
