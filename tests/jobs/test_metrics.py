"""Training as Prometheus sees it: a sweep on a private head, and the endpoints that its raylets name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from mtneuro_ray.config.base import read_json
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.data.offline import Offline
from mtneuro_ray.data.sampling import describe
from mtneuro_ray.results import Results
from mtneuro_ray.tasks import TASKS
from tests.ray_cluster import ROOT, PrivateHead, private_head
from tests.tiny import Tiny, write_tiny

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EPOCHS = 60
TAGS = {"task": "tiny_segmentation", "network": "network"}
# Ray adds these; it takes the place of a run's id that two trials on one node have different ones.
BY_RAY = {"WorkerId", "NodeAddress", "SessionName"}

_ENDPOINTS = """
import json, ray
ray.init(log_to_driver=False)
print(json.dumps([f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in ray.nodes()]))
"""


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateHead]:
    # Ten seconds by default, longer than all of the sweep.
    with private_head(tmp_path_factory.mktemp("head"), variables={"RAY_metrics_report_interval_ms": "1000"}) as head:
        yield head


def _endpoints(head: PrivateHead) -> list[str]:
    env = {**head.env, "RAY_ADDRESS": head.address}
    asked = subprocess.run([sys.executable, "-c", _ENDPOINTS], env=env, capture_output=True, check=True)
    urls: list[str] = json.loads(asked.stdout.splitlines()[-1])
    return urls


def _scrape(urls: list[str]) -> list[Sample]:
    found = []
    for url in urls:
        with urllib.request.urlopen(url, timeout=30) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            found += [sample for family in families for sample in family.samples]
    return [sample for sample in found if sample.name.startswith("ray_mtneuro_")]


def _ended(samples: list[Sample]) -> float:
    return sum(sample.value for sample in samples if sample.name == "ray_mtneuro_runs_total")


def _sweep_and_scrape(head: PrivateHead, tiny: Tiny, out: Path) -> list[Sample]:
    """Every sample that was seen while a sweep ran and until all of its runs were counted."""
    urls = _endpoints(head)
    command = [*(sys.executable, "-m", "mtneuro_ray.cli.main", "sweep", "--space", str(tiny.space))]
    sweep = subprocess.Popen(
        [*command, "--out", str(out), "--address", head.address], env={**head.env, "PYTHONPATH": str(ROOT)}
    )
    seen: list[Sample] = []
    deadline = time.monotonic() + 300
    while True:
        running = sweep.poll() is None
        samples = _scrape(urls)
        seen += samples
        if not running and _ended(samples) == len(list((out / "runs").glob("*.json"))):
            break
        assert time.monotonic() < deadline, [sample for sample in samples if "runs" in sample.name]
        time.sleep(0.5)
    assert sweep.returncode == 0
    return seen


def _of(samples: list[Sample], name: str, **tags: str) -> list[Sample]:
    return [
        sample for sample in samples if sample.name == f"ray_mtneuro_{name}" and tags.items() <= sample.labels.items()
    ]


def test_the_endpoints_of_the_raylets_tell_what_the_run_files_hold(head: PrivateHead, tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", axes="axes.learning_rate = [0.01, 0.001]", epochs=EPOCHS)
    out = tmp_path / "out"
    seen = _sweep_and_scrape(head, tiny, out)
    records = Results(out).records
    entries = [entry for record in records for entry in record.history]
    assert len(records) == 4

    rates = [sample.value for sample in _of(seen, "images_per_second", **TAGS)]
    assert max(rates) > 0
    losses = {sample.value for sample in _of(seen, "train_loss", **TAGS)}
    assert losses
    assert losses <= {entry["train/loss"] for entry in entries}
    for metric in TASKS.find("segmentation").selection:
        values = {sample.value for sample in _of(seen, "validation", metric=metric, **TAGS)}
        assert values
        assert values <= {entry[metric] for entry in entries}
    # A worker that ends may take its last second along.
    assert 0 < max(sample.value for sample in _of(seen, "epochs_total", **TAGS)) <= 2 * EPOCHS

    for stage in ("candidate", "final"):
        assert [sample.value for sample in _of(seen, "runs_total", stage=stage, status="done", **TAGS)][-1] == 2
    assert not [sample for sample in _of(seen, "runs_total") if sample.labels["status"] != "done"]
    task = TaskSettings.load(read_json(tiny.task), "task")
    sources = {sample.labels["source"]: sample.value for sample in _of(seen, "ingest_bytes_total")}
    assert sources.keys() == {f"file:{tiny.image}", f"file:{tiny.labels}"}
    assert sum(sources.values()) == describe(task, Offline(task, tiny.task).bytes_per_voxel)["bytes"]


def test_tags_are_few_whatever_the_number_of_runs(head: PrivateHead) -> None:
    samples = _scrape(_endpoints(head))
    assert samples
    own = {name for sample in samples for name in sample.labels} - BY_RAY
    assert own <= {
        *("task", "network", "stage", "metric", "status", "source", "le"),
        *("Component", "Version", "JobId", "otel_scope_name", "otel_scope_version", "otel_scope_schema_url"),
    }


def test_the_dashboard_asks_for_what_there_is(head: PrivateHead) -> None:
    panels = json.loads((ROOT / "docs" / "grafana.json").read_text())["panels"]
    asked = {name for panel in panels for each in panel["targets"] for name in re.findall(r"ray_\w+", each["expr"])}
    there = {sample.name for sample in _scrape(_endpoints(head))}
    # Gauges end with the worker that has set them.
    gauges = {f"ray_mtneuro_{name}" for name in ("images_per_second", "train_loss", "validation")}
    assert asked
    assert asked <= there | gauges
