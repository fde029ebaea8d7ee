import json
import logging
import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mtneuro_ray.results import Results
from mtneuro_ray.results.frame import Run, runs_of
from mtneuro_ray.results.index import load_runs
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.results.records import classification_record, encoder_record, segmentation_record, with_regions


def write(out: Path, record: RunRecord, *, age_s: float = 60.0) -> Path:
    """Write a run file that looks as old as this."""
    path = out / "runs" / f"{record.run_id}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(record)))
    then = path.stat().st_mtime_ns - int(age_s * 1e9)
    os.utime(path, ns=(then, then))
    return path


def told(runs: list[Run]) -> list[object]:
    """All that tables are made of."""
    return [
        (
            *(run.run_id, run.status, dict(run.summary), run.method, run.seconds, run.error, run.data),
            *(dict(run.task), dict(run.network), run.origin_json),
            {key: run.value(key) for key in run.keys},
        )
        for run in runs
    ]


def rebuilt(out: Path) -> list[object]:
    return told(runs_of(RunFolder(Folder(out)).all()))


def some(seed: int) -> RunRecord:
    makers = (
        lambda: with_regions(segmentation_record((0.5, 0.25, seed / 100), seed=seed)),
        lambda: encoder_record(seed / 100, seed=seed),
        lambda: classification_record(seed / 100, seed),
    )
    return makers[seed % 3]()


@pytest.mark.parametrize("seed", range(5))
def test_after_any_adds_changes_and_deletes_the_index_is_what_a_rebuild_gives(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    there: dict[str, RunRecord] = {}
    for step in range(25):
        act = rng.choice(["add", "add", "change", "delete", "read", "forget"])
        if act == "add":
            record = some(rng.randrange(60))
            there[record.run_id] = record
            write(tmp_path, record, age_s=60.0 + step)
        elif act == "change" and there:
            record = replace(there[rng.choice(sorted(there))], timings={"total_s": float(step)})
            there[record.run_id] = record
            write(tmp_path, record, age_s=120.0 + step)
        elif act == "delete" and there:
            run_id = rng.choice(sorted(there))
            del there[run_id]
            (tmp_path / "runs" / f"{run_id}.json").unlink()
        elif act == "forget":
            (tmp_path / "index" / "runs.parquet").unlink(missing_ok=True)
        else:
            assert told(load_runs(Folder(tmp_path))) == rebuilt(tmp_path)
    assert told(load_runs(Folder(tmp_path))) == told(load_runs(Folder(tmp_path))) == rebuilt(tmp_path)
    assert len(load_runs(Folder(tmp_path))) == len(there)


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [some(seed) for seed in range(6)]
    for record in records:
        write(tmp_path, record)
    load_runs(Folder(tmp_path))
    asked: list[str] = []
    read_all = RunFolder.read_all

    def spy(self: RunFolder, run_ids: list[str]) -> list[RunRecord]:
        asked.extend(run_ids)
        return read_all(self, run_ids)

    monkeypatch.setattr(RunFolder, "read_all", spy)
    before = (tmp_path / "index" / "runs.parquet").stat().st_mtime_ns
    load_runs(Folder(tmp_path))
    assert asked == []
    assert (tmp_path / "index" / "runs.parquet").stat().st_mtime_ns == before
    write(tmp_path, replace(records[2], error="another"), age_s=30)
    assert {run.error for run in load_runs(Folder(tmp_path))} == {None, "another"}
    assert asked == [records[2].run_id]


def test_a_young_file_is_read_again_until_a_rewrite_would_show(tmp_path: Path) -> None:
    record = replace(some(1), error="a")
    write(tmp_path, record, age_s=0)
    assert [run.error for run in load_runs(Folder(tmp_path))] == ["a"]
    path = tmp_path / "runs" / f"{record.run_id}.json"
    stamp = path.stat().st_mtime_ns
    path.write_text(path.read_text().replace('"error": "a"', '"error": "b"'))
    # The same size and, on a coarse file system, the same time.
    os.utime(path, ns=(stamp, stamp))
    assert [run.error for run in load_runs(Folder(tmp_path))] == ["b"]


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + bytes(100) + b"PAR1"])
def test_an_index_that_cannot_be_read_is_rebuilt(content: bytes, tmp_path: Path) -> None:
    write(tmp_path, some(1))
    load_runs(Folder(tmp_path))
    whole = (tmp_path / "index" / "runs.parquet").read_bytes()
    for damaged in (content, whole[: len(whole) // 2]):
        (tmp_path / "index" / "runs.parquet").write_bytes(damaged)
        assert told(load_runs(Folder(tmp_path))) == rebuilt(tmp_path)
    assert (tmp_path / "index" / "runs.parquet").read_bytes() == whole


def test_readers_at_once_all_see_every_run(tmp_path: Path) -> None:
    for seed in range(20):
        write(tmp_path, some(seed))
    with ThreadPoolExecutor(8) as readers:
        found = list(readers.map(lambda _: len(load_runs(Folder(tmp_path))), range(16)))
    assert set(found) == {20}
    assert told(load_runs(Folder(tmp_path))) == rebuilt(tmp_path)


def test_results_of_a_folder_that_cannot_be_written_need_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, some(1))

    def refuse(self: Folder, name: str, content: bytes) -> None:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(Folder, "write", refuse)
    assert len(Results(tmp_path)) == 1
    assert not (tmp_path / "index").exists()


def test_a_damaged_or_copied_run_file_is_left_out_by_name_and_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = some(3)
    write(tmp_path, good)
    copy = tmp_path / "runs" / "copied.json"
    copy.write_text((tmp_path / "runs" / f"{good.run_id}.json").read_text())
    damages = {
        "a": {"summary": {**good.summary, "seed": "seven"}},
        "b": {"settings": {**good.settings, "task": {}}},
        "c": {"metrics": {"test": 3}},
        "d": {"summary": {**good.summary, "model": "\ud800"}},
        "e": {"metrics": {"test": {"loss": 10**400}}},
        "f": {"summary": {**good.summary, "learning_rate": 10**400}},
        "g": {"timings": {"total_s": 10**400}},
    }
    for name, damage in damages.items():
        write(tmp_path, replace(good, run_id=name, **damage))  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        assert [run.run_id for run in load_runs(Folder(tmp_path))] == [good.run_id]
    for name in ("copied", *damages):
        assert f"runs/{name}.json" in caplog.text
    assert Results(tmp_path).runs()[0]["run_id"] == good.run_id
