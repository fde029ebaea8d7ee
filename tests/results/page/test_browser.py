"""The page in headless Chromium: no error, nothing serious from axe-core, nothing wider than the window, and it works.

Skipped where there is no Chromium, or where playwright or axe-playwright-python are not installed.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.results import Results
from mtneuro_ray.results.charts.boxes import Box, boxes_of
from mtneuro_ray.results.charts.projection import Projection
from mtneuro_ray.results.charts.tiles import SIDE, Cloud, cloud_of
from mtneuro_ray.results.page.live import LivePage
from mtneuro_ray.results.page.server import PageServer
from mtneuro_ray.results.page.stored_results import Notes, StoredResults
from mtneuro_ray.results.report import html_page
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.results.figures.scenery import embeddings, layer, scene
from tests.results.figures.test_curves import GRID, cell, history, stopped
from tests.results.page.test_hostile import HOSTILE, renamed
from tests.results.records import segmentation_record, with_regions

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt-get install chromium)"),
]
VIEWS = [(width, scheme) for width in (1400, 400) for scheme in ("light", "dark")]


class Scenery(StoredResults):
    """Predictions and embeddings of a folder that has none, drawn from scenery."""

    def has_predictions(self, records: Sequence[RunRecord]) -> bool:
        return True

    def has_projections(self) -> bool:
        return True

    def boxes(self, records: Sequence[RunRecord], notes: Notes) -> list[Box]:
        own = layer()
        return boxes_of([scene(own._replace(others=(np.roll(own.predicted, 2, axis=2),)))])

    def clouds(self, records: Sequence[RunRecord], notes: Notes) -> list[Cloud]:
        own = embeddings()
        return [cloud_of(Projection(own, own.vectors[:, :2]), np.full((40, SIDE, SIDE), 99, np.uint8))]


def scenery_of(out: Path) -> Scenery:
    return Scenery(Folder(out), CutoutStore(Folder(out / "store")))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candidates, seeds, a run that was stopped, failed ones with logs, and names that try to be code."""
    folder = tmp_path_factory.mktemp("browser")
    seeds = [
        replace(with_regions(segmentation_record((0.5 + seed / 50, 0.4, 0.3), seed=seed)), history=history(0.1, 0.3))
        for seed in (1, 2, 3)
    ]
    third = [cell(0.45, learning_rate=0.03, batch_size=8, loss="dice"), stopped(batch_size=8)]
    hostile = [
        renamed(replace(record, run_id=record.run_id), HOSTILE[1], **changes)
        for record, changes in (
            (segmentation_record(seed=77), {"history": history(0.1, 0.2)}),
            (segmentation_record(seed=78), {"status": "error", "error": HOSTILE[0], "metrics": {}}),
        )
    ]
    for record in (*GRID, *third, *seeds, *hostile):
        RunFolder(Folder(folder)).write(record)
    (Folder(folder) / "logs").write(f"{hostile[1].run_id}.log", HOSTILE[0].encode())
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(out: Path) -> str:
    page = html_page(Results(out), "a report", scenery_of(out))
    (out / "report.html").write_text(page)
    return (out / "report.html").as_uri()


class Opened:
    """A page in a window of some width, with all that its console said."""

    def __init__(self, browser: Any, address: str, width: int = 1400, scheme: str = "light") -> None:
        self.said: list[str] = []
        self.page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(f"dialog: {dialog.message}"))
        self.page.goto(address)
        # Every section is drawn before the page is printed.
        self.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        for section in self.page.query_selector_all("section[data-view]"):
            section.wait_for_selector(".view > *", state="attached", timeout=60_000)
        self.page.wait_for_timeout(500)


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_report_has_no_error_and_axe_finds_nothing_serious(
    browser: Any, address: str, width: int, scheme: str
) -> None:
    opened = Opened(browser, address, width, scheme)
    assert opened.said == []
    assert opened.page.query_selector_all(".warning:visible") == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(opened.page.query_selector_all(".canvas svg")) >= 8
    found = axe.Axe().run(opened.page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_live_page_has_no_error_and_shows_runs_that_end(browser: Any, out: Path, tmp_path: Path) -> None:
    folder = Folder(shutil.copytree(out, tmp_path / "out"))
    with PageServer(LivePage(folder, scenery_of(tmp_path / "out"), "live"), every_s=0.5) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        opened = Opened(browser, server.url)
        tile = ".tile:has-text('runs done') b"
        before = int(opened.page.inner_text(tile))
        RunFolder(folder).write(segmentation_record(seed=9))
        opened.page.wait_for_selector(f"{tile}:text-is('{before + 1}')", timeout=60_000)
        assert opened.said == []
        server.shutdown()


def test_tables_sort_and_runs_are_filtered_and_open(browser: Any, address: str) -> None:
    page = Opened(browser, address).page

    def scores() -> list[str]:
        cells = page.eval_on_selector_all("#runs tbody tr", "rows => rows.map(row => row.cells[5].textContent)")
        return [text for text in cells if text]

    heading = page.locator("#runs th button", has_text="score")
    heading.click()
    rising = list(map(float, scores()))
    assert rising == sorted(rising)
    heading.click()
    falling = list(map(float, scores()))
    assert falling == rising[::-1]
    page.fill("#run-filter", "score>0.1, lr=0.1")
    assert 0 < len(scores()) < len(rising)
    page.locator("#runs tbody button").first.click()
    page.wait_for_selector("#run .pairs")
    page.click("#run summary:text-is('Settings')")
    assert "network.optimizer.learning_rate" in page.inner_text("#run")
    page.keyboard.press("Escape")
    assert not page.is_visible("#run")


def test_the_slider_shows_another_slice_and_the_button_another_theme(browser: Any, address: str) -> None:
    page = Opened(browser, address).page
    before = page.get_attribute(".slice img", "alt")
    page.focus("#slice")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute(".slice img", "alt") != before
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.click("#theme")
    assert page.evaluate(background) == light
    page.click("#theme")
    assert page.evaluate(background) != light
