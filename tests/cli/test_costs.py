"""`mtneuro-ray profile`, and the estimate of `mtneuro-ray plan`."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mtneuro_ray.capacity.costs import CostTable, Workload, read_table, write_table
from mtneuro_ray.cli.main import main
from tests.costs import cost, runs_of_space
from tests.tiny import Tiny, write_tiny

ROOT = Path(__file__).parents[2]
BATCHES = [f"UNet n_blocks=2 start_filters=4, 1 x 16 x 16, 3 classes, batch {batch}, " for batch in (16, 32)]


def _plan(tiny: Tiny, *arguments: str) -> list[str]:
    return ["plan", "--space", str(tiny.space), *arguments]


def _on_gpus(tiny: Tiny) -> None:
    tiny.space.write_text(tiny.space.read_text() + "\n[run]\ngpus_per_worker = 1.0\n")


def _table(tiny: Tiny, *, on_gpu: bool = False, **changes: Any) -> str:
    table = CostTable()
    for run in runs_of_space(tiny.space):
        table = table.add(Workload.of(run, on_gpu=on_gpu), cost(device="GPU" if on_gpu else "cpu", **changes))
    path = str(tiny.space.with_name("costs.json"))
    write_table(path, table)
    return path


def _probe(tiny: Tiny, out: Path, memory: int | None = None) -> subprocess.CompletedProcess[str]:
    def bound() -> None:
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))

    command = [sys.executable, "-m", "mtneuro_ray.cli.main", "profile", "--space", str(tiny.space), "--out", str(out)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, "--steps", "1"], env=env, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=bound
    )


@pytest.mark.slow
def test_a_probe_measures_each_workload_in_its_own_process_and_one_that_does_not_fit_spoils_no_other(
    tmp_path: Path,
) -> None:
    # One layer of the second has 14 GB of weights.
    tiny = write_tiny(tmp_path / "tiny", axes="axes.learning_rate = [0.1, 0.2]\naxes.start_filters = [4, 20000]")
    out = tmp_path / "costs.json"
    write_table(str(out), CostTable().add(Workload.of(runs_of_space("smoke")[0], on_gpu=False), cost()))
    done = _probe(tiny, out, memory=8 * 10**9)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"2 of 2 workloads measured: {out}\n"
    table = read_table(str(out))
    small, large = (
        table.costs[f"UNet n_blocks=2 start_filters={filters}, 1 x 16 x 16, 3 classes, batch 16, fp32 on cpu, 1 thread"]
        for filters in (4, 20000)
    )
    assert len(table.costs) == 3
    assert small.fits
    assert not large.fits
    assert small.torch == torch.__version__
    # Python, torch and Ray alone are more than this; so is what 100 MB of activations and a batch take.
    assert small.base_bytes > 10**8
    assert small.peak_bytes > 10**6
    assert small.step_s is not None
    assert small.image_s is not None
    assert min(small.step_s, small.image_s, small.process_s) > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_probe_of_a_gpu_measures_its_allocator(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny")
    _on_gpus(tiny)
    assert _probe(tiny, tmp_path / "costs.json").returncode == 0
    table = read_table(str(tmp_path / "costs.json"))
    name = torch.cuda.get_device_name()
    assert list(table.costs) == [f"{key}bf16 on {name}" for key in BATCHES]
    for found in table.costs.values():
        assert found.fits
        assert 0 < found.data_bytes < found.peak_bytes < found.device_bytes
        assert found.base_bytes > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = write_tiny(tmp_path / "tiny")
    _on_gpus(tiny)
    assert main(["profile", "--space", str(tiny.space), "--out", str(tmp_path / "costs.json")]) == 2
    assert "run.gpus_per_worker, or --device cuda: torch finds no GPU" in capsys.readouterr().err
    assert not (tmp_path / "costs.json").exists()


def test_an_estimate_by_hand_is_the_same_each_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = write_tiny(tmp_path)
    arguments = ["--nodes", "1", "--cpus-per-node", "2", "--profile", _table(tiny), "--price-per-node-hour", "3.6"]
    told = []
    for _ in range(2):
        assert main(_plan(tiny, *arguments, "--format", "json")) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    found = json.loads(told[0])["estimate"]
    # As in tests/capacity/test_estimate.py: candidates of 23, 17, 23 and 17 s, repetitions of 27 s; the processes start
    # once, in 5 s.
    assert [(row["stage"], row["runs"]) for row in found["stages"]] == [("search", 4), ("repeat", 2)]
    assert found["wall_s"] == [pytest.approx(5 + 40 + 27)] * 2
    assert found["cpu_hours"] == pytest.approx((80 + 54) / 3600)
    assert found["money"] == [pytest.approx(3.6 * 72 / 3600)] * 2
    assert (found["missing"], found["too_large"], found["ingest_s"]) == ([], [], None)

    assert main(_plan(tiny, *arguments, "--ingest-rate", "1")) == 0
    text = capsys.readouterr().out
    assert (
        "estimate on 1 machine:\n"
        "  search                4 runs  80 s one by one\n"
        "  repeat                2 runs  54 s one by one\n" in text
    )
    assert "  wall time                     72 s\n" in text
    assert "reading from the source is not in it" not in text


def test_packed_gpus_give_a_span_of_hours_and_money(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = write_tiny(tmp_path)
    _on_gpus(tiny)
    table = _table(tiny, on_gpu=True)
    arguments = ["--nodes", "2", "--gpus-per-node", "2", "--packing", table, "--price-per-gpu-hour", "36"]
    assert main(_plan(tiny, *arguments, "--format", "json")) == 0
    found = json.loads(capsys.readouterr().out)["estimate"]
    assert found["gpus"] == 4
    # Four candidates, four GPUs; three would fit on each.
    assert found["wall_s"] == [pytest.approx(5 + 23 + 27)] * 2
    assert main(_plan(tiny, "--nodes", "1", "--gpus-per-node", "1", *arguments[4:], "--format", "json")) == 0
    found = json.loads(capsys.readouterr().out)["estimate"]
    assert found["wall_s"] == [pytest.approx(5 + 17 + 17 + 27), pytest.approx(5 + 80 + 54)]
    assert found["money"] == [pytest.approx(seconds / 100) for seconds in found["wall_s"]]
    assert any("1.25 times the memory" in text for text in found["assumptions"])


def test_without_a_table_the_command_that_makes_one_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = write_tiny(tmp_path)
    assert main(_plan(tiny, "--nodes", "1", "--cpus-per-node", "2")) == 0
    text = capsys.readouterr().out
    assert "estimate on 1 machine: not known\n  search                4 runs\n  repeat                2 runs\n" in text
    assert f"  to measure: mtneuro-ray profile --space {tiny.space} --out costs.json\n" in text


def test_what_was_not_measured_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = write_tiny(tmp_path)
    path = _table(tiny)
    table = read_table(path)
    del table.costs[f"{BATCHES[1]}fp32 on cpu, 1 thread"]
    write_table(path, table)
    assert main(_plan(tiny, "--nodes", "1", "--cpus-per-node", "2", "--profile", path)) == 0
    text = capsys.readouterr().out
    assert f"  not measured: {BATCHES[1]}fp32\n" in text
    assert BATCHES[0] not in text
    assert f"  to measure: mtneuro-ray profile --space {tiny.space} --out {path}\n" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--nodes", "1"], "--cpus-per-node: is missing"),
        (["--nodes", "0", "--cpus-per-node", "1"], "--nodes: is '0'; accepted: a whole number from 1"),
        (["--profile", "x.json"], "--profile: belongs to an estimate; accepted: with --nodes N"),
        (["--nodes", "1", "--cpus-per-node", "1", "--gpus-per-node", "1"], "--gpus-per-node: the trials of this space"),
        (["--nodes", "1", "--cpus-per-node", "1", "--price-per-gpu-hour", "1"], "--price-per-gpu-hour: the trials of"),
        (["--nodes", "1", "--cpus-per-node", "1", "--profile", "none.json"], "none.json: no such file; accepted: what"),
    ],
)
def test_an_estimate_that_makes_no_sense_is_one_line(
    arguments: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_plan(write_tiny(tmp_path), *arguments)) == 2
    assert text in capsys.readouterr().err


def test_nodes_belong_to_a_space(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--task", "task1", "--nodes", "1"]) == 2
    assert "--nodes: estimates a tune space; accepted: with --space" in capsys.readouterr().err


def test_packing_is_for_trials_of_one_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = write_tiny(tmp_path)
    tiny.space.write_text(tiny.space.read_text() + "\n[run]\nworkers_per_trial = 2\nmax_concurrent = 1\n")
    command = ["sweep", "--space", str(tiny.space), "--out", str(tmp_path / "out"), "--packing", "t.json"]
    assert main(command) == 2
    assert "packing: run.packing: is for trials of one worker, workers_per_trial is 2" in capsys.readouterr().err


def test_a_table_that_is_not_there_is_told_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = write_tiny(tmp_path)
    tiny.space.write_text(tiny.space.read_text() + '\n[run]\npacking = "none.json"\n')
    assert main(["sweep", "--space", str(tiny.space), "--out", str(tmp_path / "out")]) == 2
    assert f"{tmp_path / 'none.json'}: no such file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
