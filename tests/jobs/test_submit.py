"""The real `ray job submit` on a head node of our own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ray_cluster import ROOT, PrivateHead, environment
from tests.tiny import write_tiny

pytestmark = pytest.mark.ray

TASK = {
    "name": "tiny",
    "task": "segmentation",
    "image_chan": "phantom://thalamocortical/image?seed=0",
    "annotation_chan": "phantom://thalamocortical/pixel_labels?seed=0",
    "classes": ["bg", "vessels", "cells", "axons"],
    "tile_size": [32, 32],
    "cubes": [
        {"region": "CTX", "label": 0, "split": split, "z": [first, first + 2], "y": [900, 932], "x": [4600, 4632]}
        for split, first in (("train", 110), ("val", 380), ("test", 420))
    ],
}
SPACE = """
task = "{task}"
network = "UNet_2D_4class"
seeds = [1]
set = {{epochs = 1, batch_size = 2, start_filters = 2, n_blocks = 2}}
[search]
axes.learning_rate = [0.01]
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of one candidate and one seed; its paths are absolute, since a job runs in a folder of its own."""
    folder = tmp_path_factory.mktemp("space")
    task = folder / "tiny.json"
    task.write_text(json.dumps(TASK))
    path = folder / "tiny.toml"
    path.write_text(SPACE.format(task=task))
    return path


def submit(head: PrivateHead, env: dict[str, str], *entrypoint: str) -> subprocess.CompletedProcess[str]:
    command = ["ray", "job", "submit", "--address", head.dashboard, "--working-dir", ".", "--", "python", *entrypoint]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def run_files(out: Path) -> dict[str, tuple[float, str]]:
    return {path.name: (path.stat().st_mtime, path.read_text()) for path in (out / "runs").glob("*.json")}


@pytest.mark.slow
def test_a_submitted_sweep_runs_once(head: PrivateHead, space: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("jobs/sweep.py", "--space", str(space), "--out", str(out))

    first = submit(head, head.env, *command)
    assert first.returncode == 0, first.stdout + first.stderr
    after_first = run_files(out)
    records = [json.loads(text) for _, text in after_first.values()]
    assert sorted(record["settings"]["role"] for record in records) == ["final"]
    assert {record["status"] for record in records} == {"done"}

    second = submit(head, head.env, *command)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "runs that are done: repeat 1/1" in second.stdout
    assert run_files(out) == after_first


@pytest.mark.slow
def test_each_of_the_other_jobs_is_its_command(head: PrivateHead, tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", epochs=1)
    out = tmp_path / "out"
    task, network = ("--task", str(tiny.task)), ("--network", str(tiny.network))
    jobs: dict[str, tuple[tuple[str, ...], str]] = {
        "ingest": (task, "store/*/*.parquet"),
        "train": ((*task, *network), "runs/*.json"),
        "evaluate": (task, "evaluations/*.json"),
        "predict": ((), "predictions/*.zarr"),
        "report": ((), "report.html"),
        "profile_space": (("--space", str(tiny.space), "--steps", "1"), "costs.json"),
    }
    # The sweep has a test of its own.
    names = {path.stem for path in (ROOT / "jobs").glob("*.py")}
    assert names == {*jobs, "sweep"}
    # Python looks for modules beside the entry first.
    assert not names & sys.stdlib_module_names
    for job, (arguments, left) in jobs.items():
        assert list(out.glob(left)) == []
        written = out / left if job == "profile_space" else out
        done = submit(head, head.env, f"jobs/{job}.py", *arguments, "--out", str(written))
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(out.glob(left))
    [run] = run_files(out).values()
    [evaluation] = (out / "evaluations").iterdir()
    found, expected = json.loads(evaluation.read_text()), json.loads(run[1])
    assert found["metrics"]["confusion"] == expected["metrics"]["test"]["confusion"]


def test_a_job_runs_the_code_that_was_uploaded(head: PrivateHead) -> None:
    done = submit(head, head.env, "-P", "-c", "import mtneuro_ray; print(mtneuro_ray.__file__)")
    assert done.returncode == 0, done.stdout + done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.endswith("mtneuro_ray/__init__.py")]
    uploaded = Path(line).parents[1]
    assert uploaded.is_relative_to(head.temp_dir)
    assert not (uploaded / ".git").exists()
    # A few megabytes of source; Ray itself begins to warn at 256.
    assert sum(path.stat().st_size for path in uploaded.rglob("*") if path.is_file()) < 20e6


def test_a_job_does_not_write_into_the_folder_that_is_deleted_with_it(head: PrivateHead, space: Path) -> None:
    done = submit(head, head.env, "jobs/sweep.py", "--space", str(space), "--out", "results")
    assert done.returncode != 0
    assert "error: --out: 'results' is relative to the folder of a Ray job" in done.stdout


def test_a_bad_space_fails_the_job_with_its_one_line(head: PrivateHead, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("seeds = 1\n")
    done = submit(head, head.env, "jobs/sweep.py", "--space", str(path), "--out", str(tmp_path / "out"))
    assert done.returncode != 0
    assert f"error: {path}: " in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("token", "sentence"),
    [(None, "couldn't find an authentication token"), ("0" * 64, "Invalid authentication token")],
    ids=["missing", "wrong"],
)
def test_a_job_without_the_token_is_refused(
    head: PrivateHead, space: Path, tmp_path: Path, token: str | None, sentence: str
) -> None:
    # A home of its own: Ray would find the token of whoever runs this.
    env = environment(token) | {"HOME": str(tmp_path)}
    done = submit(head, env, "jobs/sweep.py", "--space", str(space), "--out", str(tmp_path / "out"))
    assert done.returncode != 0
    assert sentence in done.stderr
    assert not (tmp_path / "out").exists()
