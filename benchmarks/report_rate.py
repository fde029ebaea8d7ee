"""Seconds and size of `mtneuro-ray report`, and first paint of `results serve`, on many run files.

    python -m benchmarks.report_rate [--runs 10000] [--out FOLDER]

The run files are those of `benchmarks.results_rate`, with an Optuna study of each search. First paint is Chromium's
First Contentful Paint, the median of several new windows; it is left out where there is no Chromium or no playwright.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna

from benchmarks.results_rate import folder_of_runs, told, wall_and_processor_s
from mtneuro_ray.results import Results
from mtneuro_ray.results.charts.searches import Search, searches_of
from mtneuro_ray.sweep.study import NAME, RUN_ID

_PROGRAM = (sys.executable, "-m", "mtneuro_ray.cli.main")
_WINDOWS = 5
_PAINT = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)"


def main() -> None:
    """Measure and print one line each."""
    with folder_of_runs(str(__doc__)) as (out, number):
        if not (out / NAME).exists():
            write_studies(out)
        shutil.rmtree(out / "index", ignore_errors=True)
        for state in ("cold, without an index", "warm"):
            seconds = wall_and_processor_s([*_PROGRAM, "report", "--out", str(out)])
            size = (out / "report.html").stat().st_size
            print(f"report: {number} runs, {state}: {told(seconds)}, {size / 1e6:.1f} MB")
        with serving(out) as (started_s, url):
            print(f"results serve: {number} runs, address after {started_s:.1f} s")
            paints = first_paints_ms(url)
            if paints:
                middle = statistics.median(paints)
                print(
                    f"results serve: first paint {middle:.0f} ms (median of {len(paints)}, longest {max(paints):.0f})"
                )


def write_studies(out: Path) -> None:
    """Write one study for each search, as a sweep does."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(out / NAME)))
    for search in searches_of(Results(out).entries):
        summary = search.runs[0].summary
        study = optuna.create_study(
            storage=storage, study_name=f"{summary['model']}/{summary['task']}", direction="maximize"
        )
        study.add_trials(_trials(search))


def _trials(search: Search) -> list[optuna.trial.FrozenTrial]:
    axes = {
        "learning_rate": optuna.distributions.FloatDistribution(1e-4, 0.1, log=True),
        "weight_decay": optuna.distributions.FloatDistribution(0.0, 0.01),
    }
    return [
        optuna.trial.create_trial(
            value=run.metric(str(search.metric)),
            params={name: run.network[f"optimizer.{name}"] for name in axes},
            distributions=dict(axes),
            user_attrs={RUN_ID: run.run_id},
        )
        for run in search.candidates
    ]


@contextmanager
def serving(out: Path) -> Iterator[tuple[float, str]]:
    """Seconds until the address was printed, and the address of `results serve`, until the body has ended."""
    began = time.perf_counter()
    line = [*_PROGRAM, "results", "serve", "--out", str(out)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            yield time.perf_counter() - began, url
        finally:
            process.terminate()


def first_paints_ms(url: str) -> list[float]:
    """First Contentful Paint in new windows of Chromium; empty without it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        print("results serve: first paint is not measured: no Chromium, or no playwright")
        return []
    paints = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(_WINDOWS):
            page = browser.new_page()
            page.goto(url)
            while not (found := page.evaluate(_PAINT)):
                page.wait_for_timeout(20)
            paints += found
            page.close()
        browser.close()
    return paints


if __name__ == "__main__":
    main()
