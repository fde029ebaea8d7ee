from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from mtneuro_ray.cli.main import main
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.engine.execute import train_here
from mtneuro_ray.results import Results
from mtneuro_ray.results.figures.gallery import run_pictures
from mtneuro_ray.results.figures.picture import Picture
from mtneuro_ray.results.report import html_page
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.engine.data import data_of, run_of


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def candidate(rate: float, size: int) -> RunSettings:
    return run_of("segmentation", epochs=2, learning_rate=rate, batch_size=size, role="candidate")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    data = data_of("segmentation")
    runs = [candidate(rate, size) for rate in (0.01, 0.001) for size in (2, 4)]
    for run in (*runs, run_of("segmentation", epochs=2, seed=1), run_of("segmentation", epochs=2, seed=2)):
        train_here(run, data, Folder(folder))
    failed = run_of("segmentation", epochs=2, seed=3)
    RunFolder(Folder(folder)).write(RunRecord.failed(failed, "diverged: <script>alert(1)</script>"))
    return folder


def test_the_page_shows_tables_curves_and_grid_and_loads_nothing(out: Path) -> None:
    results = Results(out)
    photo = Picture("x", "a 'photo'", Figure(figsize=(1, 1)), is_photo=True)
    page = html_page(results, "results & more", [*run_pictures(results.records), photo], ["no <pictures>"])
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    # Curves with the grid, and the confusion matrix of the seeds.
    assert parser.seen.count("svg") == 2
    assert parser.seen.count("img") == 1
    assert "<p class='note'>no &lt;pictures&gt;</p>" in page
    assert "6 runs done, 1 failed" in page
    assert "results &amp; more" in page
    best = Results(out).best()[0]
    assert f"<td>{best['run_id']}</td>" in page
    tables = [*results.table(), *results.regions(), *results.proportions()]
    assert len(tables) > 2
    for table in tables:
        for row in table.rows:
            assert f"<td>{row[-1].replace('+-', '&plusmn;')}</td>" in page
    assert not re.search(r"(src|href)=['\"](?!#|data:)", page.replace("xlink:href", "href"))
    assert "<script" not in page


def test_the_command_writes_the_page(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}/report.html\n"
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_one_run_alone_has_a_page(out: Path) -> None:
    final = [record for record in Results(out).records if record.summary["role"] == "final" and record.status == "done"]
    page = html_page(Results.of(final[:1]), "one", run_pictures(final[:1]))
    assert "1 runs done, 0 failed" in page
    assert "<svg" in page


def test_stopped_runs_are_counted(out: Path) -> None:
    records = [replace(record, status="stopped") for record in Results(out).records[:2]]
    assert "0 runs done, 2 stopped early, 0 failed" in html_page(Results.of(records), "stopped")
