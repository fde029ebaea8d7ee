import time

import pytest

from mtneuro_ray.progress import progress, say, working


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


def test_the_time_that_is_left_does_not_count_what_begins_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress("adding", 10, "runs", every_s=1.0) as advance:
        for seconds in (70.0, 72.0, 74.0):
            now[0] = seconds
            advance(1)
    assert capsys.readouterr().err.splitlines()[:3] == [
        "adding: 10% of 10 runs",
        "adding: 20% of 10 runs, 16 s left",
        "adding: 30% of 10 runs, 14 s left",
    ]
