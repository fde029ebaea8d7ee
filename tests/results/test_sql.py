"""Queries of the runs and of the frame, and conditions on runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from mtneuro_ray.errors import InputError
from mtneuro_ray.results import Results
from mtneuro_ray.results.sql import table_of
from mtneuro_ray.storage.records import RunRecord
from tests.results.records import classification_record, segmentation_record
from tests.settings import run_settings

RECORDS = [
    segmentation_record((0.5, 0.3, 0.1), seed=1),
    segmentation_record((0.7, 0.2, 0.3), seed=2),
    segmentation_record(role="candidate", val=0.2, learning_rate=0.1),
    classification_record(0.9, 3),
    RunRecord.failed(run_settings(network={"seed": 3}), "diverged"),
]


@pytest.fixture
def results() -> Results:
    return Results.of(RECORDS)


def test_the_frame_of_a_query_is_that_of_python(results: Results) -> None:
    found, expected = results.sql("SELECT * FROM frame"), results.frame()
    assert [*found.columns] == [*expected.columns]
    order = ["run_id", "split", "metric", "class", "region"]
    found, expected = (each.sort_values(order).reset_index(drop=True) for each in (found, expected))
    pd.testing.assert_frame_equal(found[[*order, "value"]], expected[[*order, "value"]])
    assert found["optimizer.learning_rate"].tolist() == expected["optimizer.learning_rate"].tolist()


def test_both_tables_are_joined(results: Results) -> None:
    query = """SELECT runs.model, max(value) AS best FROM frame JOIN runs USING (run_id)
               WHERE frame.split = 'test' AND frame.metric = 'dataset/iou' AND class = 'bg' GROUP BY ALL"""
    assert results.sql(query).to_dict("records") == [{"model": "net", "best": 0.7}]


@pytest.mark.parametrize("rest", ["", " GROUP BY ALL ORDER BY count(*)"])
def test_a_setting_is_read_where_a_query_names_it_in_any_case(results: Results, rest: str) -> None:
    found = results.sql(f'SELECT DISTINCT "Optimizer.Learning_Rate" AS rate FROM frame{rest}')
    assert sorted(found["rate"]) == [0.01, 0.1]
    assert "optimizer.learning_rate" in results.sql("DESCRIBE frame")["column_name"].tolist()


def test_without_a_run_the_tables_are_empty() -> None:
    assert Results.of([]).sql("SELECT count(*) AS n FROM frame")["n"].tolist() == [0]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT x FROM runs", "Binder Error"),
        ("SELEC", "Parser Error"),
        ("SELECT * FROM self", "Catalog Error"),
    ],
)
def test_a_wrong_query_is_one_line(results: Results, query: str, words: str) -> None:
    with pytest.raises(InputError, match=f"^sql: .*{words}.*; accepted: a query of the tables frame and runs"):
        results.sql(query)


def test_runs_are_chosen_by_a_condition(results: Results) -> None:
    assert len(results.matching("seed < 3 AND role = 'final'")) == 2
    assert len(results.matching('"test/dataset/iou_mean" > 0.35')) == 1
    with pytest.raises(InputError, match=r"^--where: no run fulfils 'seed = 99'; accepted: "):
        results.matching("seed = 99")
    with pytest.raises(InputError, match=r"^--where: Binder Error: .*nothing"):
        results.matching("nothing = 1")


def test_columns_of_several_types_and_lists_are_text_and_numbers_stay_numbers() -> None:
    table = table_of([{"a": 1, "b": [1, 2], "c": 1, "d": None}, {"a": 2.5, "c": "x", "e": True}])
    assert table.to_pylist() == [
        {"a": 1.0, "b": "[1, 2]", "c": "1", "d": None, "e": None},
        {"a": 2.5, "b": None, "c": "x", "d": None, "e": True},
    ]
    assert table.schema.field("a").type == pa.float64()


def test_the_answer_is_an_arrow_table(results: Results, tmp_path: Path) -> None:
    assert results.answer("SELECT count(*) AS n FROM runs").to_pylist() == [{"n": 5}]
