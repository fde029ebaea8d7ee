"""The simulated cluster where the answer can be worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cluster_simulation import Cluster, Costs, Reading, Trial, Work, in_turn, simulate

SECONDS = st.floats(0.1, 100.0)


def _up(nodes: int, **changes: float) -> Cluster:
    return Cluster(nodes=nodes, up=nodes, **changes)  # type: ignore[arg-type]


@given(st.lists(SECONDS, min_size=1, max_size=20))
def test_one_node_takes_the_sum_of_its_trials_and_overheads(seconds: list[float]) -> None:
    costs = Costs(driver_trial_s=0.4, gcs_trial_s=0.1, gcs_actor_s=0.25, actor_start_s=3.0)
    outcome = simulate(Work(release=in_turn([[Trial(each) for each in seconds]])), _up(1), costs)
    assert outcome.total_s == pytest.approx(3.25 + sum(seconds) + 0.5 * len(seconds))
    assert outcome.slot_s == pytest.approx(sum(seconds))


@given(st.integers(1, 60), st.integers(1, 16), st.integers(1, 3))
def test_without_overhead_equal_trials_come_in_full_rounds(trials: int, nodes: int, per_node: int) -> None:
    outcome = simulate(Work(release=in_turn([[Trial(7.0)] * trials])), _up(nodes, trials_per_node=per_node))
    assert outcome.total_s == pytest.approx(math.ceil(trials / (nodes * per_node)) * 7.0)


@given(st.lists(SECONDS, min_size=1, max_size=30), st.integers(1, 12))
def test_no_order_beats_the_work_or_the_longest_trial_nor_is_worse_than_graham_says(
    seconds: list[float], nodes: int
) -> None:
    took = simulate(Work(release=in_turn([[Trial(each) for each in seconds]])), _up(nodes)).total_s
    least = max(sum(seconds) / nodes, max(seconds))
    assert least <= took * (1 + 1e-9)
    assert took <= (2 - 1 / nodes) * least * (1 + 1e-9)


def test_a_driver_that_can_do_no_more_sets_the_pace() -> None:
    work = Work(release=in_turn([[Trial(1.0)] * 100]))
    outcome = simulate(work, _up(50), Costs(driver_trial_s=0.4))
    assert outcome.busy_s["driver"] == pytest.approx(40.0)
    assert 40.0 <= outcome.total_s <= 42.0


def test_reports_cost_the_driver() -> None:
    outcome = simulate(Work(release=in_turn([[Trial(10.0, reports=5)]])), _up(1), Costs(driver_report_s=0.2))
    assert outcome.total_s == pytest.approx(11.0)


def test_trials_wait_for_those_that_they_follow() -> None:
    stages = [[Trial(1.0), Trial(5.0)], [Trial(1.0), Trial(1.0)]]
    assert simulate(Work(release=in_turn(stages)), _up(2)).trials_s == pytest.approx(6.0)


def test_no_more_trials_run_than_the_driver_asks_for() -> None:
    assert simulate(Work(release=in_turn([[Trial(3.0)] * 8])), _up(8, max_concurrent=2)).total_s == pytest.approx(12.0)


def test_a_node_fetches_a_task_once_and_nodes_share_the_way() -> None:
    work = Work(release=in_turn([[Trial(1.0, "a")] * 4]), split_bytes={"a": 100})
    one = simulate(work, _up(1, trials_per_node=2), Costs(transfer_bytes_s=10.0))
    assert one.total_s == pytest.approx(10.0 + 2.0)
    two = simulate(work, _up(2, trials_per_node=2), Costs(transfer_bytes_s=10.0))
    assert two.total_s == pytest.approx(20.0 + 1.0)
    assert two.busy_s["transfer"] == pytest.approx(20.0)


def test_bossdb_is_asked_so_many_times_a_second_whoever_asks() -> None:
    work = Work(readings=[Reading(((10,) * 8,) * 4)])
    by_requests = Costs(boss_requests_s=2.0)
    assert simulate(work, _up(4), by_requests).ingest_s == pytest.approx(16.0)
    assert simulate(work, _up(1), by_requests).ingest_s == pytest.approx(16.0)
    by_bytes = Costs(boss_bytes_s=10.0)
    assert simulate(work, _up(4), by_bytes).ingest_s == pytest.approx(32.0)


def test_latency_is_hidden_by_reads_in_flight() -> None:
    work = Work(readings=[Reading(((10,) * 8,) * 4)])
    for parallel, seconds in ((8, 4.0), (2, 16.0)):
        outcome = simulate(work, _up(1, parallel_reads=parallel), Costs(boss_latency_s=1.0))
        assert outcome.ingest_s == pytest.approx(seconds)
    assert simulate(work, _up(4), Costs(boss_latency_s=1.0)).ingest_s == pytest.approx(1.0)


def test_nodes_are_requested_in_steps_booted_and_paid_for() -> None:
    slow = Cluster(nodes=4, boot_s=100.0, upscaling_speed=1.0, look_s=5.0)
    outcome = simulate(Work(release=in_turn([[Trial(1000.0)] * 4])), slow)
    # One at each look after the first, which comes before the first trial, as none runs yet.
    assert outcome.total_s == pytest.approx(20.0 + 100.0 + 1000.0)
    assert outcome.most_nodes == 4
    assert outcome.node_s == pytest.approx(sum(1120.0 - 5.0 * number for number in (1, 2, 3, 4)))


def test_an_idle_node_is_given_back_and_one_is_booted_for_what_follows() -> None:
    stages = [[Trial(10.0), Trial(100.0)], [Trial(10.0), Trial(10.0)]]
    kept = simulate(Work(release=in_turn(stages)), Cluster(nodes=2, boot_s=30.0, look_s=1.0))
    given_back = simulate(Work(release=in_turn(stages)), Cluster(nodes=2, boot_s=30.0, look_s=1.0, idle_s=20.0))
    assert kept.trials_s == pytest.approx(141.0)
    # The second trial runs where the first has: sooner than a node boots.
    assert given_back.trials_s == pytest.approx(151.0)
    assert given_back.node_s < kept.node_s


def test_refused_requests_come_again_and_are_lost_where_patience_is_short() -> None:
    work = Work(readings=[Reading(((10,) * 8,) * 8)])
    refusing = Costs(boss_requests_s=1.0, boss_refuses=True)
    patient = simulate(work, _up(8, attempts=50), refusing)
    assert patient.refused > 0
    assert patient.lost == 0
    # What is served is served at the limit at best.
    assert patient.ingest_s >= 64.0
    hasty = simulate(work, _up(8, attempts=2), refusing)
    assert 0 < hasty.lost < 64
    assert hasty.busy_s["BossDB requests"] == pytest.approx(64.0 - hasty.lost)
