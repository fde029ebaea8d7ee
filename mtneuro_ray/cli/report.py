"""`mtneuro-ray report`."""

from __future__ import annotations

import argparse

from mtneuro_ray.cli.results import load_runs


def run(options: argparse.Namespace) -> int:
    """Write OUT/report.html."""
    results, out = load_runs(options)

    from mtneuro_ray.report import html_page

    out.write("report.html", html_page(results, f"MTNeuro on Ray: {out}").encode())
    print(f"{out}/report.html")
    return 0
