"""`measure`: options, output and errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mtneuro_ray.cli.main import main


@pytest.fixture
def labels(tmp_path: Path) -> str:
    """Two cells of 8 voxels, and a vessel along x."""
    labels = np.zeros((6, 20, 30), np.uint16)
    labels[1:3, 2:4, 2:4] = labels[1:3, 12:14, 20:22] = 300
    labels[4, 10, :] = 5
    np.save(tmp_path / "labels.npy", labels)
    return f"file:{tmp_path}/labels.npy"


def test_numbers_are_printed_and_components_written(
    labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["measure", "--prediction", labels, "--classes", "cells=300,vessels=5", "--voxel-size", "2,1,1"]
    to = str(tmp_path / "cells.parquet")
    assert main([*command, "--format", "json", "--box", "0:6,0:20,0:30", "--to", to]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    [row] = found["boxes"]
    assert found["voxel_size_um"] == [2, 1, 1]
    assert (row["components"]["cells"]["count"], row["components"]["cells"]["um3"]["mean"]) == (2, 16)
    assert row["length"]["vessels"]["um"] == pytest.approx(29, abs=0.5)
    assert said.err.startswith(f"measuring {labels}, ")
    assert pq.read_table(to)["voxels"].to_pylist() == [8, 8]

    assert main([*command, "--min-voxels", "9"]) == 0
    shown = capsys.readouterr().out
    assert "| all" not in shown
    assert "### Components of cells (26 neighbours, of 9 voxels or more)" in shown
    assert "### Length by skeleton" in shown
    assert main([*command[:-2], "--length", "cells", "--count", "vessels"]) == 0
    shown = capsys.readouterr().out
    assert "### Components of vessels (26 neighbours)" in shown
    assert "um3" not in shown


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--classes", "cells"], "--classes: 'cells' is no NAME=LABEL; accepted: NAME=LABEL,NAME=LABEL,..."),
        (["--classes", "a=1,a=2"], "--classes: 'a' stands twice; accepted: NAME=LABEL,NAME=LABEL,..."),
        (["--classes", "a=b"], "--classes: 'b' is no label; accepted: a whole number"),
        (["--box", "1:2"], "--box: '1:2' is no box; accepted: Z0:Z1,Y0:Y1,X0:X1 in voxels, half-open"),
        (["--box", "1:1,0:2,0:2"], "--box: z range [1, 1) is not a box; accepted: 0 <= start < stop, half-open"),
        (["--voxel-size", "1,2"], "--voxel-size: '1,2' is no size; accepted: Z,Y,X or one number"),
        (["--voxel-size", "0"], "--voxel-size: '0' is no size; accepted: Z,Y,X or one number"),
        (["--to", "cells.csv"], "--to: cells.csv: accepted: a path that ends in .parquet"),
        (["--classes", "a=1", "--task", "task1", "--box", "0:1,0:1,0:1"], "--task, --box: both name boxes"),
    ],
)
def test_a_bad_option_is_one_line(
    arguments: list[str], line: str, labels: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", "--prediction", labels, *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {line}")


def test_values_that_are_no_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "grey.npy", np.full((2, 2, 2), 0.5, np.float32))
    assert main(["measure", "--prediction", f"file:{tmp_path}/grey.npy", "--classes", "a=1"]) == 2
    assert "float32" in capsys.readouterr().err
