from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.engine.execute import train_here
from mtneuro_ray.results import Results
from mtneuro_ray.results.report import html_page
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.engine.data import data_of, run_of
from tests.results.page.reading import Page


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
    page = Page(html_page(results, "results & more"))
    assert page.text_of("title") == ["results & more"]
    assert page.tiles == {"runs done": "6", "failed": "1", "experiments": "1", **page.tiles}
    cells = page.text_of("td")
    assert results.best()[0]["run_id"] in page.text_of("button")
    tables = [*results.table(), *results.regions(), *results.proportions()]
    assert len(tables) > 2
    for table in tables:
        for row in table.rows:
            assert row[-1].replace("+-", "\u00b1") in cells
    [name] = page.data["searches"]
    assert name["title"] == "net on small, 2 epochs, file data"
    search = page.data["search-0"]
    assert [len(panel["candidates"]) for panel in search["panels"]] == [4, 4]
    [seeds] = search["panels"][0]["methods"]
    assert len(seeds["lines"]) == 2
    assert len(search["grid"]["values"]) == 4
    assert len(page.data["confusions"]) == 1
    assert [address for address in page.addresses if not address.startswith("#")] == []


def test_the_command_writes_the_page(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}/report.html\n"
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_one_run_alone_has_a_page(out: Path) -> None:
    final = [record for record in Results(out).records if record.summary["role"] == "final" and record.status == "done"]
    page = Page(html_page(Results.of(final[:1]), "one"))
    assert (page.tiles["runs done"], page.tiles["failed"]) == ("1", "0")
    assert len(page.data["runs"]["rows"]) == 1


def test_stopped_runs_are_counted(out: Path) -> None:
    records = [replace(record, status="stopped") for record in Results(out).records[:2]]
    page = Page(html_page(Results.of(records), "stopped"))
    assert (page.tiles["runs done"], page.tiles["stopped early"]) == ("0", "2")


def test_settings_and_machine_of_each_run_are_kept_once(out: Path) -> None:
    details = Page(html_page(Results(out), "details")).data["details"]
    assert (len(details["settings"]), len(details["runs"])) == (1, 7)
    for record in Results(out).records:
        own = details["runs"][record.run_id]
        settings = {**details["settings"][own["base"]], **own["changed"]}
        assert settings["network.optimizer.learning_rate"] == record.summary["learning_rate"]
        assert settings["network.seed"] == record.summary["seed"]
        assert details["machines"][own["machine"]]["host"] == record.host


def test_the_cost_is_that_of_the_hosts_while_they_had_runs(out: Path) -> None:
    page = Page(html_page(Results(out), "cost", price_per_node_hour=3600.0))
    timings = page.data["timings"]
    assert timings["cost"] == pytest.approx(3600 * sum(timings["host_hours"].values()), rel=1e-4)
    assert float(page.tiles["cost of the hosts at work"].replace(",", "")) == pytest.approx(timings["cost"], abs=0.01)
    assert "cost of the hosts at work" not in Page(html_page(Results(out), "no cost")).tiles
