"""`mtneuro-ray export`, its words and its refusals; what it writes is tested in tests/sharing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder
from tests.cli.commands import only_error, tiny
from tests.results.records import readout_record, segmentation_record


def test_data_and_a_run_are_told_apart_by_their_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = tiny(tmp_path)[:2]
    assert main(["export", *task, "--out", str(tmp_path / "out"), "--format", "npz"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out/data/small/task.json")
    for words, told in (
        (["--run", "abc", *task], "export run: --task, --volume, --preset: accepted: after `export data`"),
        (
            ["data", "--onnx", *task],
            "export data: --run, --to, --onnx, --bioimageio, --push: accepted: after `export run`",
        ),
        (["run"], "export run: --run: is missing"),
        ([], "export: --task: is missing"),
    ):
        assert main(["export", *words]) == 2
        assert told in only_error(capsys)


def test_a_run_that_cannot_be_exported_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate, final, readout = segmentation_record(role="candidate"), segmentation_record(), readout_record(0.5)
    for record in (candidate, final, readout):
        RunFolder(Folder(tmp_path)).write(record)
    for run_id, told in (
        ("abc", f"'abc' is no finished final run of {tmp_path} with weights of its own; accepted: {final.run_id}"),
        (candidate.run_id, "is no finished final run"),
        (readout.run_id, "is no finished final run"),
        (final.run_id, "no such file, so net on small can't predict"),
    ):
        assert main(["export", "--run", run_id, "--out", str(tmp_path)]) == 2
        assert told in only_error(capsys)
    assert main(["export", "--run", final.run_id, "--push", "hf://me", "--out", str(tmp_path)]) == 2
    assert "names no repository; accepted: hf://USER/NAME" in only_error(capsys)
