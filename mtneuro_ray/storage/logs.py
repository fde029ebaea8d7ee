"""What a run said: OUT/logs/RUN_ID.log."""

from __future__ import annotations

from mtneuro_ray.storage.folder import Folder

_FOLDER = "logs"


def write_log(out: Folder, run_id: str, text: str) -> None:
    """Replace the log of a run, whole or not at all."""
    (out / _FOLDER).write(f"{run_id}.log", text.encode(errors="replace"))


def read_log(out: Folder, run_id: str) -> str | None:
    """The log of a run; None where it left none."""
    try:
        return (out / _FOLDER).read(f"{run_id}.log").decode(errors="replace")
    except FileNotFoundError:
        return None
