import time

import pytest

from mtneuro_ray.progress import say, working


def test_quick_work_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with working("counting", patience_s=60.0):
        pass
    assert capsys.readouterr() == ("", "")


def test_long_work_is_told_when_it_begins_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    told = ""
    with working("counting", patience_s=0.01):
        while not told:
            time.sleep(0.01)
            told = capsys.readouterr().err
    assert told == "counting ...\n"
    assert capsys.readouterr() == ("", "counting: 0 s\n")


def test_an_error_ends_the_work_too(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with working("counting", patience_s=0.0):
            time.sleep(0.05)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert capsys.readouterr().err.endswith("counting: 0 s\n")


def test_a_line_of_progress_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("model \x1b[2J")
    assert capsys.readouterr().err == "model \\x1b[2J\n"
