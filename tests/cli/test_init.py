from __future__ import annotations

from pathlib import Path

import pytest
import typer

from mtneuro_ray.cli import init
from mtneuro_ray.cli.main import main
from tests.onboarding.test_project import volumes


def test_flags_write_a_project_and_print_reasons_and_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--image", "image.npy", "--labels", "labels.npy", "mine", "--classes", "a, b,c"]) == 0
    out = capsys.readouterr().out
    assert "classes     a, b, c (labels 0, 1, 2)\n" in out
    assert "next:\n  mtneuro-ray sweep --space mine/space.toml --preset smoke --out mine/smoke\n" in out
    image = f"file:{tmp_path}/image.npy"
    predict = f"mtneuro-ray predict --out mine/smoke --best --volume {image} --to zarr://mine/prediction.zarr\n"
    assert out.endswith(predict)
    assert main(["plan", "--space", "mine/space.toml", "--preset", "smoke"]) == 0


def test_without_a_terminal_what_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volumes(tmp_path)
    image, labels = f"{tmp_path}/image.npy", f"{tmp_path}/labels.npy"
    for words, missing in (
        ([str(tmp_path / "p")], "--image"),
        ([str(tmp_path / "p"), "--image", image], "--labels"),
        (["--image", image, "--labels", labels], "DIR"),
    ):
        assert main(["init", *words]) == 2
        assert capsys.readouterr().err == f"error: init: {missing}: is missing; accepted: see mtneuro-ray init --help\n"


def test_on_a_terminal_it_asks_for_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    volumes(tmp_path)
    answers = {
        "Image (address or path)": f"{tmp_path}/image.npy",
        "Labels (address or path)": f"{tmp_path}/labels.npy",
        "Folder for the files": f"{tmp_path}/asked",
    }
    asked: list[str] = []

    def prompt(question: str, default: str | None = None, **options: object) -> str:
        asked.append(question)
        return answers.get(question, default or "")

    monkeypatch.setattr(init, "_is_terminal", lambda: True)
    monkeypatch.setattr(typer, "prompt", prompt)
    assert main(["init"]) == 0
    assert asked == [*list(answers)[:2], "Task", "Mask, 0 where nothing is annotated (empty: none)", *list(answers)[2:]]
    assert (tmp_path / "asked/space.toml").is_file()
    assert "next:" in capsys.readouterr().out
    asked.clear()
    monkeypatch.setattr(typer, "confirm", lambda question, **options: False)
    assert main(["init", "--task", "segmentation", "--mask", f"{tmp_path}/labels.npy"]) == 2
    assert asked == list(answers)
    assert "is not empty; accepted: another folder, or --force" in capsys.readouterr().err
