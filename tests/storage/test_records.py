import json
import logging
import math
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtneuro_ray.errors import InputError, printable
from mtneuro_ray.results import Results
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord, outcome
from tests.results.records import segmentation_record
from tests.settings import run_settings

DONE = segmentation_record()
FAILED = RunRecord.failed(run_settings(data=("phantom:image", "phantom:labels")), "diverged", host="here")


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    runs.write(DONE)
    assert runs.read(DONE.run_id) == DONE
    assert runs.all() == [DONE]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [f"{DONE.run_id}.json"]


def test_metrics_keep_their_order(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    runs.write(DONE)
    record = runs.read(DONE.run_id)
    assert record is not None
    assert [list(values) for values in record.metrics.values()] == [list(v) for v in DONE.metrics.values()]
    assert list(record.metrics) == ["val", "test"]


def test_numbers_that_are_no_numbers_survive(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    values = {"loss": math.nan, "high": math.inf, "low": -math.inf, "one": 1.0, "sum": 0.1 + 0.2}
    runs.write(replace(DONE, metrics={"val": values}))
    record = runs.read(DONE.run_id)
    assert record is not None
    read = record.metrics["val"]
    assert math.isnan(read.pop("loss"))
    assert read == {"high": math.inf, "low": -math.inf, "one": 1.0, "sum": 0.1 + 0.2}
    value = record.metric("val/one")
    assert isinstance(value, float)


def test_a_finished_run_is_not_replaced_by_a_failed_one(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    assert FAILED.run_id == DONE.run_id
    runs.write(FAILED)
    assert runs.read(DONE.run_id) == FAILED
    runs.write(DONE)
    runs.write(FAILED)
    assert runs.read(DONE.run_id) == DONE


def test_a_run_that_is_not_there_is_none(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    assert runs.read("0123") is None
    assert runs.all() == []


@pytest.mark.parametrize("status", ["done", "error"])
def test_of_several_that_end_a_run_at_once_a_finished_one_stays(root: str, status: Literal["done", "error"]) -> None:
    """Two machines that each count the other as lost write "done" and "error" in any order."""
    runs = RunFolder(Folder(root))
    if status == "error":
        runs.write(FAILED)
    together = threading.Barrier(8)

    def write(number: int) -> None:
        together.wait(30)
        runs.write(replace(FAILED, host=str(number)) if number else DONE)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    assert runs.all() == [DONE]


def changed(path: str, value: object) -> str:
    """A run file with one key changed; without it where the value is `...`."""
    values: Any = json.loads(json.dumps(asdict(DONE)))
    *tables, key = path.split(".")
    inner = values
    for table in tables:
        inner = inner[int(table) if isinstance(inner, list) else table]
    if value is ...:
        del inner[key]
    else:
        inner[key] = value
    return json.dumps(values)


def reason_for(tmp_path: Path, text: str | bytes, caplog: pytest.LogCaptureFixture, name: str = DONE.run_id) -> str:
    """Why a file is left out, by the one warning; beside it lies one that is read."""
    runs = RunFolder(Folder(tmp_path))
    good = replace(DONE, run_id="good")
    runs.write(good)
    (tmp_path / "runs" / f"{name}.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert runs.all() == [good]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().isprintable()
    where, _, reason = record.getMessage().partition(": left out: ")
    assert where == printable(f"{tmp_path}/runs/{name}.json")
    return reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no run file (Invalid JSON: EOF"),
        ("{", "is no run file (Invalid JSON: EOF"),
        (b"\xff", "is no run file (Invalid JSON: "),
        ("[]", "is no run file (an object)"),
        ("null", "is no run file (an object)"),
        ("{}", "run_id: is missing"),
        ("[" * 100_000, "is no run file (Invalid JSON: recursion limit"),
        (changed("color", "red"), "color: is 'red'; accepted: "),
        (changed("status", "maybe"), "status: is 'maybe'; accepted: 'done', 'stopped' or 'error'"),
        (changed("summary", None), "summary: is None; accepted: "),
        (changed("summary.epochs", ...), "summary.epochs: is missing"),
        (changed("summary.seed", "0"), "summary.seed: is '0'; accepted: a valid integer"),
        (changed("summary.seed", 2**70), "summary.seed: is "),
        (changed("summary.task", "a\x1bb"), r"summary.task: is 'a\x1bb'; accepted: "),
        (changed("summary.task", "other"), "its summary and its settings are of two runs"),
        (changed("settings", {}), "settings.task: is missing"),
        (changed("settings.data", []), "settings.data: is []; accepted: "),
        (changed("settings.protocol_version", 1), "is of protocol version 1; this program reads 2"),
        (changed("settings.task.classes", 3), "settings.task.classes: is 3; accepted: "),
        (changed("settings.task.cubes.0.z", [0]), "settings.task.cubes.0.z.1: is missing"),
        (changed("settings.network.model", "UNet"), "settings.network.model: is 'UNet'; accepted: "),
        (changed("settings.network.method.name", ["x"]), "settings.network.method.name: is ['x']; accepted: "),
        (changed("settings.encoder_run", {"task": 1}), "settings.encoder_run.task: is 1; accepted: "),
        (changed("metrics", []), "metrics: is []; accepted: "),
        (changed("metrics.val", [1.0]), "metrics.val: is [1.0]; accepted: "),
        (changed("metrics.val.loss", "low"), "metrics.val.loss."),
        (changed("metrics.val.regions", {"CTX": 1.0}), "metrics.val.regions: holds no metrics by region"),
        (changed("metrics.a\nb", {}), r"metrics.a\nb."),
        (changed("history", [{"loss": 1.0}]), "history.0.epoch: is missing"),
        (changed("history", [{"epoch": 1, "loss": "low"}]), "history.0.loss: is 'low'; accepted: "),
        (changed("class_counts", {"test": {"CTX": [0.5]}}), "class_counts.test.CTX.0: is 0.5; accepted: "),
        (changed("timings", {"total_s": "long"}), "timings.total_s: is 'long'; accepted: "),
        (changed("error", 1), "error: is 1; accepted: "),
        (changed("run_id", "../../elsewhere"), "run_id: is '../../elsewhere'; accepted: "),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_damaged_run_file_is_left_out_with_a_warning(
    tmp_path: Path, text: str | bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert reason_for(tmp_path, text, caplog).startswith(reason)


@pytest.mark.parametrize("name", ["copy", f"{DONE.run_id} (1)", f"{DONE.run_id}\x1b", "\udcff"])
def test_a_copied_or_renamed_run_file_is_no_run(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    told = reason_for(tmp_path, changed("host", "here"), caplog, name)
    assert told == f"holds run {DONE.run_id!r}: is a copy, or was renamed"


def test_many_files_of_one_fault_are_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "runs").mkdir()
    for number in range(12):
        (tmp_path / "runs" / f"{number:02}.json").write_text("{}")
    assert RunFolder(Folder(tmp_path)).all() == []
    [record] = caplog.records
    names = "00.json, 01.json, 02.json, 03.json, 04.json and 7 more"
    assert record.getMessage() == f"{tmp_path}/runs/{names}: left out: run_id: is missing"


def test_a_file_that_can_not_be_read_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = Folder.read

    def fail(folder: Folder, name: str) -> bytes:
        if name == f"{DONE.run_id}.json":
            raise PermissionError(13, "Permission denied", name)
        return read(folder, name)

    monkeypatch.setattr(Folder, "read", fail)
    assert reason_for(tmp_path, "", caplog) == "Permission denied"


def test_what_an_error_says_is_printable(tmp_path: Path) -> None:
    runs = RunFolder(Folder(tmp_path))
    runs.write(replace(FAILED, error="\x1b[31mred", notes=["a\nb"]))
    [record] = runs.all()
    assert (record.error, record.notes) == (r"\x1b[31mred", [r"a\nb"])


def test_a_file_from_before_a_setting_with_a_default_is_read(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    settings = {key: DONE.settings[key] for key in ("task", "network", "role", "data")}
    (tmp_path / "runs" / f"{DONE.run_id}.json").write_text(changed("settings", settings))
    [record] = RunFolder(Folder(tmp_path)).all()
    assert record.settings == settings
    assert "weights" in DONE.settings
    assert record.load_settings().run_id == DONE.run_id


def test_settings_that_are_not_those_of_the_run_id_are_refused() -> None:
    assert DONE.load_settings().run_id == DONE.run_id
    with pytest.raises(InputError, match=f"run other: settings: give run {DONE.run_id}; accepted: "):
        replace(DONE, run_id="other").load_settings()


def paths_of(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in inner:
        yield from paths_of(value, (*path, key))


WHOLE = json.loads(json.dumps(asdict(DONE)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def assert_readable(content: bytes) -> None:
    """A file is left out, or whatever is read of it can be shown; the one beside it is read."""
    with tempfile.TemporaryDirectory() as folder:
        runs = RunFolder(Folder(folder))
        runs.write(good := replace(DONE, run_id="good"))
        (Path(folder) / "runs" / f"{DONE.run_id}.json").write_bytes(content)
        found = runs.all()
        assert good in found
        for run in Results.of(found).runs():
            json.dumps(run)
        for record in found:
            assert outcome(record, "val/dataset/iou_mean").isprintable()


@settings(max_examples=300)
@given(st.sampled_from(list(paths_of(WHOLE))[1:]), JSON | st.just(...))
def test_no_changed_value_of_a_run_file_ends_a_reader(path: tuple[Any, ...], value: object) -> None:
    values = json.loads(json.dumps(WHOLE))
    inner = reduce(lambda table, key: table[key], path[:-1], values)
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    assert_readable(json.dumps(values).encode())


@settings(max_examples=100)
@given(st.integers(0, len(json.dumps(WHOLE)) - 1), st.binary(max_size=2))
def test_no_changed_byte_of_a_run_file_ends_a_reader(at: int, byte: bytes) -> None:
    content = json.dumps(WHOLE).encode()
    assert_readable(content[:at] + byte + content[at + 1 :])


def test_a_metric_is_found_by_split_and_name() -> None:
    assert DONE.metric("val/dataset/iou_mean") == 0.5
    assert DONE.metric("test/image/f1_mean") == pytest.approx(0.34)
    for name in ("val/accuracy", "train/loss", "test/confusion", "test/dataset/iou", "", "val"):
        assert DONE.metric(name) is None
