from __future__ import annotations

import pytest

from benchmarks.sweep_engine import busy_share, overhead_s
from mtneuro_ray.storage.records import RunRecord


def ran(began: float, ended: float) -> RunRecord:
    return RunRecord("r", "done", {}, {}, timings={"began_at": began, "ended_at": ended})


def test_share_and_overhead_by_hand() -> None:
    # Two CPUs for 10 s, of which 2 + 4 + 9 s are trials'.
    records = [ran(100.0, 102.0), ran(103.0, 107.0), ran(101.0, 110.0)]
    assert busy_share(records, 2) == pytest.approx(0.75)
    assert overhead_s(records, 2) == pytest.approx(5 / 3)
