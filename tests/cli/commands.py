"""Arguments and output of commands in tests."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.settings import cube, network_values, task_values, write_json


def tiny(folder: Path, **task: Any) -> list[str]:
    """`--task` and `--network` of two 16 x 16 cubes over volumes in files."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, (10, 4, 8), dtype=np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    np.save(folder / "image.npy", 60 * labels + random.integers(0, 60, labels.shape, dtype=np.uint8))
    np.save(folder / "labels.npy", labels)
    cubes = [
        cube(region, split, z, x=[x, x + 16], label=label)
        for label, (region, x) in enumerate((("A", 0), ("B", 16)))
        for split, z in (("train", (0, 4)), ("val", (5, 7)), ("test", (8, 10)))
    ]
    return [
        "--task",
        write_json(folder / "task.json", task_values(**{"cubes": cubes, **task})),
        "--network",
        write_json(folder / "net.json", network_values()),
    ]


def only_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("error: ")
    return line
