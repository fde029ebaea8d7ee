from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from mtneuro_ray.sweep.experiment import Experiment, PlannedRun
from mtneuro_ray.sweep.study import NAME, StudyLog
from tests.sweep.test_experiment import MIXED, candidates_of, done, experiment_of, stopped, tpe_of

EXPERIMENT = experiment_of({"learning_rate": [0.1, 0.01, 0.001]})
RUNS = candidates_of(EXPERIMENT)
ENDS = [done(RUNS[0].run, 0.5), stopped(RUNS[1].run, 0.25, 0.375), RunRecord.failed(RUNS[2].run, "diverged")]


def write(out: Folder, experiment: Experiment, ends: list[tuple[PlannedRun, RunRecord]]) -> None:
    with StudyLog(out, [experiment]) as study:
        for planned, record in ends:
            study.add(planned, record)


def trials(path: Path, name: str = "net/small") -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(path / NAME)))
    return optuna.load_study(study_name=name, storage=storage).get_trials()


def test_each_candidate_is_a_trial_with_its_values_and_the_way_it_ended(tmp_path: Path) -> None:
    final = EXPERIMENT.final_runs({"learning_rate": 0.1})[0]
    write(Folder(tmp_path), EXPERIMENT, [*zip(RUNS, ENDS, strict=True), (final, done(final.run, 0.9))])
    found = trials(tmp_path)
    assert [trial.state for trial in found] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert [trial.params for trial in found] == [{"learning_rate": rate} for rate in (0.1, 0.01, 0.001)]
    assert [trial.value for trial in found] == [0.5, None, None]
    assert found[1].intermediate_values == {1: 0.25, 2: 0.375}
    assert [trial.user_attrs["run_id"] for trial in found] == [planned.run_id for planned in RUNS]


def test_studies_name_their_metric_and_trials_say_when_they_ran(tmp_path: Path) -> None:
    timed = replace(done(RUNS[0].run, 0.5), timings={"began_at": 1.5e9, "ended_at": 1.5e9 + 90})
    write(Folder(tmp_path), EXPERIMENT, [(RUNS[0], timed), (RUNS[1], ENDS[1])])
    storage = JournalStorage(JournalFileBackend(str(tmp_path / NAME)))
    study = optuna.load_study(study_name="net/small", storage=storage)
    assert study.metric_names == [EXPERIMENT.metric]
    first, _ = study.get_trials()
    assert first.duration == timedelta(seconds=90)
    assert first.datetime_start == datetime.fromtimestamp(1.5e9)


def test_a_sweep_that_is_submitted_again_adds_what_is_new(tmp_path: Path) -> None:
    pairs = list(zip(RUNS, ENDS, strict=True))
    write(Folder(tmp_path), EXPERIMENT, pairs[:2])
    write(Folder(tmp_path), EXPERIMENT, pairs)
    assert [trial.user_attrs["run_id"] for trial in trials(tmp_path)] == [planned.run_id for planned in RUNS]


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"{}\n" + content])
def test_a_damaged_log_is_written_anew(tmp_path: Path, damage: object) -> None:
    pairs = list(zip(RUNS, ENDS, strict=True))
    write(Folder(tmp_path), EXPERIMENT, pairs[:2])
    path = tmp_path / NAME
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    write(Folder(tmp_path), EXPERIMENT, pairs)
    assert [trial.user_attrs["run_id"] for trial in trials(tmp_path)] == [planned.run_id for planned in RUNS]


def test_ranges_are_distributions(tmp_path: Path) -> None:
    tpe = tpe_of(MIXED, trials=1)
    [planned] = candidates_of(tpe)
    write(Folder(tmp_path), tpe, [(planned, done(planned.run, 0.5))])
    [trial] = trials(tmp_path)
    assert trial.params == planned.candidate
    assert trial.distributions == {
        "learning_rate": optuna.distributions.FloatDistribution(1e-5, 0.1, log=True),
        "batch_size": optuna.distributions.CategoricalDistribution((1, 2, 4)),
        "start_filters": optuna.distributions.IntDistribution(4, 12, step=4),
    }


def test_a_long_list_of_numbers_is_shown_as_a_range(tmp_path: Path) -> None:
    rates = [1e-3 + 1e-5 * number for number in range(65)]
    long = experiment_of({"learning_rate": rates})
    planned = candidates_of(long)[-1]
    write(Folder(tmp_path), long, [(planned, done(planned.run, 0.5))])
    [trial] = trials(tmp_path)
    assert trial.params == {"learning_rate": rates[-1]}
    assert trial.distributions == {"learning_rate": optuna.distributions.FloatDistribution(rates[0], rates[-1])}


def test_seeds_of_a_search_over_seeds_are_parameters(tmp_path: Path) -> None:
    over_seeds = experiment_of(search={"axes": {"learning_rate": [0.1, 0.01]}, "over_seeds": True}, seeds=[3, 4])
    runs = candidates_of(over_seeds)
    write(Folder(tmp_path), over_seeds, [(planned, done(planned.run, 0.5)) for planned in runs])
    assert [trial.params["seed"] for trial in trials(tmp_path)] == [3, 4, 3, 4]


def test_in_a_bucket_it_is_there_at_the_end(bucket: str, tmp_path: Path) -> None:
    out = Folder(bucket)
    pairs = list(zip(RUNS, ENDS, strict=True))
    write(out, EXPERIMENT, pairs[:1])
    write(out, EXPERIMENT, pairs)
    (tmp_path / NAME).write_bytes(out.read(NAME))
    assert [trial.user_attrs["run_id"] for trial in trials(tmp_path)] == [planned.run_id for planned in RUNS]


def test_a_log_that_can_not_be_written_ends_no_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / NAME).mkdir()
    write(Folder(tmp_path), EXPERIMENT, [(RUNS[0], ENDS[0])])
    assert f"{tmp_path}/{NAME}: not written (" in capsys.readouterr().err
