"""Importance of hyperparameters, as Optuna computes it from the studies that a sweep leaves in OUT/optuna.log."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mtneuro_ray.results.charts.searches import Search
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.sweep.study import NAME, RUN_ID, read_studies

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)

# Complete candidates below which shares mean nothing.
_FEWEST = 10


class Importance(NamedTuple):
    """Shares of the hyperparameters, the largest first, that add up to 1; and the number of candidates behind them."""

    shares: dict[str, float]
    num_candidates: int


class Studies:
    """The studies of an output folder; none, with a warning in the log, if their file is missing or damaged."""

    def __init__(self, out: Folder) -> None:
        self._trials: Mapping[str, Sequence[optuna.trial.FrozenTrial]] = {}
        try:
            content = out.read(NAME)
        except FileNotFoundError:
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / NAME
            path.write_bytes(content)
            try:
                self._trials = {name: study.get_trials(deepcopy=False) for name, study in read_studies(path).items()}
            # What a damaged journal makes of Optuna is not one type of error.
            except Exception as error:
                logger.warning("%s: can't be read (%s): no importance is shown", out / NAME, type(error).__name__)

    def importance(self, search: Search) -> Importance | None:
        """Optuna's importances by its default evaluator, from the candidates of a search that came to their end.

        None if there are fewer than ten, all score the same, or the study holds none of them.
        """
        summary = search.runs[0].summary
        trials = self._trials.get(f"{summary['model']}/{summary['task']}", ())
        own = {run.run_id for run in search.candidates}
        chosen = [trial for trial in trials if trial.user_attrs.get(RUN_ID) in own and trial.value is not None]
        if len(chosen) < _FEWEST or len({trial.value for trial in chosen}) == 1:
            return None

        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction="maximize" if search.sign > 0 else "minimize")
        study.add_trials(chosen)
        shares = optuna.importance.get_param_importances(study)
        return Importance({name: float(share) for name, share in shares.items() if name != "seed"}, len(chosen))
