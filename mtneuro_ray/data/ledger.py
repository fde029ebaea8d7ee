"""Record of a prediction under way, on the target's own storage: its settings, and the blocks that are written."""

from __future__ import annotations

import json
import os
from typing import Any

from mtneuro_ray.data.volume_target import Target, about
from mtneuro_ray.errors import InputError, StoreError
from mtneuro_ray.storage.folder import Folder

_FOLDER = ".mtneuro"
_JOB = "job.json"


class Ledger:
    """Finished blocks of one target.

    A block is marked after all its files are written, so a prediction that was killed computes again only the blocks
    that it was at work on.
    """

    def __init__(self, target: Target) -> None:
        self._target, self._folder = target, target.folder / _FOLDER

    def claim(self, job: dict[str, Any]) -> bool:
        """Take the target for a prediction with these settings; True where it is complete already.

        Raises:
            InputError: the target holds something else.
            StoreError: nothing can be written there.
        """
        job, target = json.loads(json.dumps(job)), self._target
        try:
            found = about(target.scheme, target.folder)
            if found is not None:
                self._compare(found, job)
                self.close()
                return True
            started = self._folder.exists(_JOB)
            if not started and _is_used(target.folder):
                raise InputError(f"--to: {target.folder}: is not empty; accepted: a place that is, or a new one")
            if started or not self._folder.create(_JOB, json.dumps(job, indent=1).encode()):
                self._compare(self._read_job(), job)
        except OSError as error:
            raise StoreError(
                f"--to: {target.folder}: can't be written: {error.strerror or error}; accepted: a place that can"
            ) from None
        return False

    def done(self, level: int) -> set[str]:
        """Boxes of a level that are written."""
        return set((self._folder / str(level)).list())

    def mark(self, level: int, box: str) -> None:
        """Note that all files of a box are written."""
        try:
            (self._folder / str(level)).write(box, b"done")
        except OSError as error:
            raise StoreError(f"{self._folder}: can't be written: {error.strerror or error}") from None

    def close(self) -> None:
        """Delete the record of a complete target."""
        self._target.folder.delete_tree(_FOLDER)

    def _read_job(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._folder.read(_JOB)))
        except ValueError:
            raise InputError(f"--to: {self._folder}/{_JOB}: is damaged; accepted: a new place") from None

    def _compare(self, found: dict[str, Any], job: dict[str, Any]) -> None:
        # The identity of the data tells volumes apart, wherever they are. Earlier ones do not say the voxel size.
        left_out = {"volume"} | ({"voxel_size_um"} - found.keys())
        for key in sorted((found.keys() | job.keys()) - left_out):
            if found.get(key) != job.get(key):
                raise InputError(
                    f"--to: {self._target.folder}: holds a prediction whose {key} is {_short(found.get(key))}, not "
                    f"{_short(job.get(key))}; accepted: the same settings, or another place"
                )


def _is_used(folder: Folder) -> bool:
    if folder.is_local:
        return folder.local_path.is_dir() and any(os.scandir(folder.local_path))
    return bool(folder.list())


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
