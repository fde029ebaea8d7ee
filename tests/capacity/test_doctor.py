from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mtneuro_ray.capacity import doctor
from mtneuro_ray.cli.main import main
from mtneuro_ray.storage.folder import Folder


def test_packages_that_are_old_or_missing_are_named_and_extras_are_only_noted() -> None:
    found = list(
        doctor.check_packages(
            [
                "numpy>=1",
                "ray>=99",
                "no-such-package",
                "no-such-package; python_version < '3'",
                "no-such-viewer>=2; extra == 'view'",
                "no-such-tool; extra == 'dev'",
            ]
        )
    )
    assert [(each.subject, each.state) for each in found] == [("packages", "problem"), ("extra view", "note")]
    assert "ray 2." in found[0].text
    assert "no-such-package is not there, needed: any" in found[0].text
    assert "numpy" not in found[0].text
    assert "mtneuro-ray[view]" in found[1].remedy


def test_what_a_container_leaves_of_the_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr(doctor, "processors", lambda: 2)
    monkeypatch.setattr(doctor, "memory_bytes", lambda: 2_000_000_000)
    assert "2.0 GB are allowed here" in doctor.check_memory().text
    assert "2 of the 64" in doctor.check_processors().text


@pytest.mark.parametrize(
    ("cuda", "word"), [(None, "built for processors alone"), ("13.0", "can't use the driver 550.1")]
)
def test_a_gpu_that_torch_cannot_use_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: str | None, word: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.check_accelerator().state == "note"
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 550.1\n")
    command.chmod(0o755)
    found = doctor.check_accelerator()
    assert found.state == "problem"
    assert word in found.text


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path / "out")
    assert doctor.check_folder("out", folder).state in ("ok", "note")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")] == []
    monkeypatch.setattr(Folder, "create", lambda self, name, content: bool(self.write(name, content)) or True)
    found = doctor.check_folder("out", folder)
    assert found.state == "problem"
    assert "two drivers" in found.text


def test_the_command_says_what_fails_in_one_line_each_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    good = ["--out", str(tmp_path / "out"), "--volume", "phantom://thalamocortical/image"]
    bad = ["--store", str(tmp_path / "file" / "store"), "--volume", f"file:{tmp_path}/none.npy"]
    assert main(["doctor", "--no-ray", *good]) == 0
    assert main(["doctor", "--no-ray", *good, *bad, "--format", "json"]) == 1
    text = capsys.readouterr().out
    found = json.loads(text[text.index("[\n") :])
    problems = [each for each in found if each["state"] == "problem"]
    assert [each["subject"] for each in problems] == ["store", "volume"]
    assert all("Errno" not in each["text"] and "\n" not in each["text"] for each in found)
    assert "720 x 1420 x 5805 uint8" in text
