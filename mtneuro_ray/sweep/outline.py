"""What a sweep consists of, left in its output folder for those who watch it from elsewhere. No result depends on it.

OUT/sweep.json
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from mtneuro_ray.storage.folder import Folder

_NAME = "sweep.json"


@dataclass(frozen=True, slots=True)
class OutlinedRun:
    """A run that is, or was, to be trained.

    Attributes:
        run_id: Of its run file.
        name: What a person calls it.
        experiment: `model/task`.
        metric: It is judged by.
        mode: Whether more ("max") or less ("min") of it is better.
    """

    run_id: str
    name: str
    experiment: str
    metric: str
    mode: str


@dataclass(slots=True)
class Outline:
    """The last sweep of an output folder, as far as it knows its runs.

    Attributes:
        stages: Label -> its runs, in their order; one that has not begun is missing.
        later: Seed runs of stages that have not begun.
    """

    stages: dict[str, list[OutlinedRun]] = field(default_factory=dict)
    later: int = 0

    def write(self, out: Folder) -> None:
        """Leave it in an output folder, whole or not at all."""
        out.write(_NAME, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, out: Folder) -> Outline:
        """That of an output folder; an empty one where there is none of this version."""
        try:
            content = json.loads(out.read(_NAME))
            stages = {label: [OutlinedRun(**run) for run in runs] for label, runs in content["stages"].items()}
            return cls(stages, int(content["later"]))
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return cls()
