from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from mtneuro_ray.results.charts.importance import Studies
from mtneuro_ray.results.charts.searches import Search, searches_of
from mtneuro_ray.results.frame import runs_of
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.sweep.experiment import PlannedRun
from mtneuro_ray.sweep.study import NAME, StudyLog
from tests.sweep.test_experiment import candidates_of, done, experiment_of

RATES, DECAYS = [0.1, 0.01, 0.001, 0.0001], [0.0, 0.1, 0.2]
SEARCH = experiment_of({"learning_rate": RATES, "weight_decay": DECAYS}, seeds=[1])
PLANNED = candidates_of(SEARCH)


def value_of(planned: PlannedRun) -> float:
    """The rate decides, the decay changes little."""
    rate, decay = (float(planned.candidate[key]) for key in ("learning_rate", "weight_decay"))
    return 0.9 - 0.2 * RATES.index(rate) - decay / 100


RECORDS = [done(planned.run, value_of(planned)) for planned in PLANNED]


def search_of(count: int = len(RECORDS)) -> Search:
    [found] = searches_of(runs_of(RECORDS[:count]))
    return found


@pytest.fixture
def out(tmp_path: Path) -> Folder:
    with StudyLog(Folder(tmp_path), [SEARCH]) as log:
        for planned, record in zip(PLANNED, RECORDS, strict=True):
            log.add(planned, record)
    return Folder(tmp_path)


def test_importance_is_optunas_from_the_study_in_the_folder(out: Folder) -> None:
    found = Studies(out).importance(search_of())
    assert found is not None
    assert found.num_candidates == 12
    assert list(found.shares) == ["learning_rate", "weight_decay"]
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(out.local_path / NAME)))
    [name] = optuna.get_all_study_names(storage)
    expected = optuna.importance.get_param_importances(optuna.load_study(study_name=name, storage=storage))
    assert found.shares == pytest.approx({name: float(share) for name, share in expected.items()})
    assert Studies(out).importance(search_of()) == found


def test_few_candidates_have_no_importance(out: Folder) -> None:
    assert Studies(out).importance(search_of(9)) is None


def test_a_missing_or_damaged_study_is_no_error(out: Folder, caplog: pytest.LogCaptureFixture) -> None:
    out.write(NAME, b'{"op_code": 0}\nnonsense\n')
    assert Studies(out).importance(search_of()) is None
    assert f"{NAME}: can't be read (" in caplog.text
    out.delete(NAME)
    assert Studies(out).importance(search_of()) is None
