"""The leaderboard: what is compared with what, and that no text of a submission becomes code."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.results.bundle import read_bundle, write_bundle
from mtneuro_ray.results.leaderboard.page import boards, leaderboard
from mtneuro_ray.results.query import Results
from tests.cli.commands import only_error
from tests.results.records import segmentation_record

EVIL = '<img src=x onerror="alert(1)">'


def submitted(folder: Path, name: str, *ious: float, **changes: Any) -> Path:
    file = folder / f"{len(list(folder.glob('*.zip')))}.zip"
    records = [segmentation_record((iou, iou, iou), seed=seed, **changes) for seed, iou in enumerate(ious)]
    write_bundle(Results.of(records), file, name)
    return file


def test_runs_on_the_same_images_and_data_share_a_table_with_the_best_first(tmp_path: Path) -> None:
    files = [
        submitted(tmp_path, "weak", 0.2, 0.3),
        submitted(tmp_path, "strong", 0.8, 0.9, task={"image_chan": "zarr:///elsewhere/image"}),
        submitted(tmp_path, "other data", 0.99, data=("file:other", "file:labels")),
        submitted(tmp_path, "other images", 0.99, task={"tile_size": [8, 8]}),
    ]
    found = boards([read_bundle(file) for file in files])
    assert len(found) == 3
    [board] = [each for each in found if len(each.rows) == 2]
    assert board.columns[: board.main + 1] == ["Submission", "Model", "Seeds", "test/dataset/iou_mean"]
    assert [[cell.text for cell in row[:4]] for row in board.rows] == [
        ["strong", "net", "2", "0.850 \N{PLUS-MINUS SIGN} 0.071"],
        ["weak", "net", "2", "0.250 \N{PLUS-MINUS SIGN} 0.071"],
    ]
    assert not any("loss" in column for column in board.columns)


def test_text_of_a_submission_is_shown_and_never_run(tmp_path: Path) -> None:
    file = submitted(tmp_path, EVIL, 0.5)
    bundle = read_bundle(file)
    record = replace(bundle.records[0], summary={**bundle.records[0].summary, "model": EVIL})
    page = leaderboard([replace(bundle, records=[record], version="</script>")], "</title><script>alert(2)</script>")
    assert "<img" not in page
    assert page.count("<script>") == page.count("</script>") == 1
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in page
    assert bundle.digest in page
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src 'none'; script-src 'sha256-" in policy[1]
    assert not re.search(r"(src|href)=", page.replace("&lt;img src=x", ""))


def test_the_commands_write_a_bundle_and_a_page_and_refuse_a_damaged_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mtneuro_ray.storage.folder import Folder
    from mtneuro_ray.storage.records import RunFolder

    record = segmentation_record()
    RunFolder(Folder(tmp_path / "out")).write(record)
    file, page = tmp_path / "mine.zip", tmp_path / "page.html"
    assert main(["results", "bundle", "--out", str(tmp_path / "out"), "--to", str(file)]) == 0
    assert main(["results", "leaderboard", str(file), "--to", str(page), "--title", "All"]) == 0
    assert capsys.readouterr().out == f"{file}: 1 runs\n{page}\n"
    assert "<h1>All</h1>" in page.read_text()
    assert main(["results", "leaderboard", str(file), str(file), "--to", str(page)]) == 2
    assert "a bundle stands twice" in only_error(capsys)
    file.write_bytes(file.read_bytes()[:-50])
    assert main(["results", "leaderboard", str(file), "--to", str(page)]) == 2
    assert f"{file}: is no whole bundle" in only_error(capsys)
