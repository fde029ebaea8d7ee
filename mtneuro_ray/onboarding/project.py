"""A project for a volume: looked at, fitted, checked and written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.ingest import open_volumes
from mtneuro_ray.data.sampling import check_batch
from mtneuro_ray.errors import InputError
from mtneuro_ray.machine import Machine, this_machine
from mtneuro_ray.onboarding.classification import classification
from mtneuro_ray.onboarding.facts import Wishes, look_at
from mtneuro_ray.onboarding.pages import SPACE, Project
from mtneuro_ray.onboarding.readout import readout
from mtneuro_ray.onboarding.segmentation import segmentation

_MAKERS = {"segmentation": segmentation, "classification": classification, "readout": readout}


def write_project(wishes: Wishes, folder: Path, *, force: bool = False, machine: Machine | None = None) -> Project:
    """Look at the volumes, choose, check that every file loads at every scale, and write them.

    Args:
        wishes: The volumes and the kind of task.
        folder: Where the files go; it is made where it does not exist.
        force: Whether files of an earlier project there are replaced.
        machine: The machine to fit to; this one by default.

    Raises:
        InputError: the folder holds something, or the volumes do not fit the task.
        SourceError: a volume can't be read.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; accepted: a folder that is empty or does not exist")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise InputError(f"{folder}: is not empty; accepted: another folder, or --force, which replaces its files")
    project = _MAKERS[wishes.task](look_at(wishes), wishes, folder.resolve().name, machine or this_machine())
    files = project.files(str(folder))
    with tempfile.TemporaryDirectory() as draft:
        _write(files, Path(draft))
        try:
            _check(Path(draft))
        except InputError as error:
            raise InputError(str(error).replace(draft, str(folder))) from None
    _write(files, folder)
    return project


def _write(files: dict[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


def _check(folder: Path) -> None:
    """Check that the sweep of a draft could start, as it is and in the smoke preset."""
    for preset in (None, "smoke"):
        _, entries = load_sweep(str(folder / SPACE), preset=preset)
        for experiment, pair in entries:
            for batch in {candidate.get("batch_size", 1) for candidate in experiment.search.checked_candidates}:
                check_batch(pair.trained_task, int(batch), str(folder / SPACE))
            open_volumes(pair.task, pair.task_file)
