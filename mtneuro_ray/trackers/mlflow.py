"""MLflow: an experiment for the sweep, in it a parent run for each model and task, and in this the runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.trackers.base import Tracked, Tracker, TrackerDeclaration
from mtneuro_ray.trackers.tensorboard import local_folder

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

MLFLOW = TrackerDeclaration(
    name="mlflow",
    summary="MLflow: a server, a database or a folder",
    build="mtneuro_ray.trackers.mlflow:open_store",
    packages=("mlflow",),
    places="http(s)://HOST:PORT, sqlite:///PATH, or a folder; MLFLOW_TRACKING_URI or OUT/trackers/mlflow by default",
)
_RUN, _DIGEST, _EXPERIMENT, _PARENT = "mtneuro.run_id", "mtneuro.digest", "mtneuro.experiment", "mlflow.parentRunId"
# Bounds of one request of MLflow's REST API, and of a page of its searches.
_PARAMS, _METRICS, _PAGE = 100, 1000, 1000
_LONGEST_PARAM = 6000
_STATUS = {"done": "FINISHED", "stopped": "KILLED", "error": "FAILED"}


def open_store(place: str | None, out: Folder, sweep: str) -> Tracker:
    """The tracker on a tracking server or store."""
    from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT, MLFLOW_TRACKING_URI

    # Two lines for each run, among what a sweep prints.
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)
    uri = place or MLFLOW_TRACKING_URI.get()
    if not uri or "://" not in uri:
        uri = _uri_of(uri, out)
    return _Mlflow(uri, sweep)


def _uri_of(place: str | None, out: Folder) -> str:
    """`HOST:PORT` is a server; anything else a folder, which holds a database."""
    host, _, port = (place or "").partition(":")
    if port.isdecimal() and "/" not in host:
        return f"http://{place}"
    folder = local_folder(place, out, "mlflow")
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


class _Mlflow(Tracker):
    """Knows at the start which runs are there, by their tags."""

    def __init__(self, uri: str, sweep: str) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(sweep)
        self._experiment = self._client.create_experiment(sweep) if found is None else found.experiment_id
        self._known: dict[str, MlflowRun] = {}
        self._parents: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_runs([self._experiment], max_results=_PAGE, page_token=token)
            for run in page:
                tags = run.data.tags
                if _RUN in tags:
                    self._known[tags[_RUN]] = run
                elif _EXPERIMENT in tags:
                    self._parents[tags[_EXPERIMENT]] = run.info.run_id
            token = page.token
            if not token:
                return

    def add(self, run: Tracked) -> bool:
        """Create the run with settings, history, metrics and links; its digest comes last and says that it is whole."""
        known = self._known.get(run.run_id)
        if known is not None:
            if known.data.tags.get(_DIGEST) == run.digest:
                return False
            self._client.delete_run(known.info.run_id)
        tags = {
            _RUN: run.run_id,
            _PARENT: self._parent(run.experiment),
            **{f"link.{name}": address for name, address in run.links.items()},
            **({"error": run.error} if run.error else {}),
        }
        began, ended = (int((moment or time.time()) * 1000) for moment in (run.began_at, run.ended_at))
        created = self._client.create_run(self._experiment, start_time=began, tags=tags, run_name=run.name)
        place = created.info.run_id
        self._log(place, run, ended)
        self._client.set_terminated(place, _STATUS[run.status], end_time=ended)
        self._client.set_tag(place, _DIGEST, run.digest)
        self._known[run.run_id] = self._client.get_run(place)
        return True

    def _parent(self, experiment: str) -> str:
        if experiment not in self._parents:
            created = self._client.create_run(
                self._experiment,
                tags={_EXPERIMENT: experiment},
                run_name=experiment,
                start_time=int(time.time() * 1000),
            )
            self._client.set_terminated(created.info.run_id)
            self._parents[experiment] = created.info.run_id
        return self._parents[experiment]

    def _log(self, place: str, run: Tracked, moment: int) -> None:
        from mlflow.entities import Metric, Param

        params = [Param(path, str(value)[:_LONGEST_PARAM]) for path, value in run.settings.items()]
        last = run.history[-1][0] if run.history else 0
        metrics = [
            *(Metric(name, value, moment, epoch) for epoch, values in run.history for name, value in values.items()),
            *(Metric(f"final/{name}", value, moment, last) for name, value in run.metrics.items()),
        ]
        for start in range(0, len(params), _PARAMS):
            self._client.log_batch(place, params=params[start : start + _PARAMS])
        for start in range(0, len(metrics), _METRICS):
            self._client.log_batch(place, metrics=metrics[start : start + _METRICS])
