import re
from statistics import fmean

import pytest

from mtneuro_ray.results import published
from mtneuro_ray.results.published import TOTAL, networks, proportions, score
from tests.settings import NO_SHARED, SHARED

TEXT = SHARED / "paper" / "mtneuro_paper.txt"
needs_the_text = pytest.mark.skipif(not TEXT.is_file(), reason=NO_SHARED)
SEGMENTATION = [f"task2_{dim}D_{classes}class" for dim in (2, 3) for classes in (3, 4)]
NAMES = [*networks("task2_2D_3class"), *networks("task2_3D_3class")]
ENCODERS = {"Resnet18": "Supervised", "Resnet18-Mixup": "Sup w/ Mixup"}


def rows_of_text(heading: str, names: list[str]) -> list[list[str]]:
    """The tab-separated rows of methods that follow a heading of the paper."""
    _, _, rest = TEXT.read_text().partition(heading)
    return [line.split("\t") for line in rest.splitlines() if line.split("\t")[0] in names]


def numbers(cells: list[str]) -> list[float]:
    return [float(number) for cell in cells for number in cell.split(" ± ")]


def of_classes(task: str, method: str, metric: str) -> list[float]:
    """The values of the classes, their mean and its deviation."""
    found = [score(task, method, metric, name) for name in (*published.classes(task), "")]
    values = [own.mean for own in found if own is not None]
    assert found[-1] is not None
    assert found[-1].std is not None
    return [*values, found[-1].std]


@needs_the_text
def test_table_2_is_the_paper_s() -> None:
    rows = [row for row in rows_of_text("Table 2: F1 & IoU", NAMES) if row[1] in ("F1", "IoU")]
    assert len(rows) == 18
    for name, metric, *cells in rows:
        dim = "2D" if name in networks("task2_2D_3class") else "3D"
        ours = [
            value for classes in (3, 4) for value in of_classes(f"task2_{dim}_{classes}class", name, metric.lower())
        ]
        assert numbers(cells) == ours


@needs_the_text
def test_table_a4_is_the_paper_s() -> None:
    rows = rows_of_text("Table A4: Optimal", NAMES)
    assert [row[0] for row in rows] == NAMES
    for name, *cells in rows:
        dim = "2D" if name in networks("task2_2D_3class") else "3D"
        ours = [
            found.mean
            for classes in (3, 4)
            for key in ("learning_rate", "batch_size")
            if (found := score(f"task2_{dim}_{classes}class", name, key))
        ]
        assert numbers(cells) == ours


def first_table(heading: str, columns: int) -> dict[str, list[str]]:
    """Method -> the cells of its row in the first table below a heading of the paper, as the file has them."""
    found: dict[str, list[str]] = {}
    for name, *cells in rows_of_text(heading, [*networks("task1"), *ENCODERS]):
        if len(cells) == columns:
            texts = [cell.replace("$", "").replace(r"\pm", "±").replace("±", "+-") for cell in cells]
            found.setdefault(ENCODERS.get(name, name), [" +- ".join(t.strip() for t in x.split("+-")) for x in texts])
    return found


@needs_the_text
@pytest.mark.parametrize(
    ("heading", "tasks"),
    [
        ("Table 1: Results", ("task1", "task1_c2", "task1_c3")),
        ("Table A3: Results", ("task1_x4", "task1", "task1_x1")),
    ],
)
def test_the_accuracies_are_the_paper_s(heading: str, tasks: tuple[str, ...]) -> None:
    rows = first_table(heading, len(tasks))
    assert list(rows) == list(networks("task1"))
    for method, cells in rows.items():
        ours = [score(task, method, "accuracy") for task in tasks]
        assert [(own.mean, own.std) for own in ours if own] == [parsed(cell) for cell in cells]


@needs_the_text
@pytest.mark.parametrize(("task", "heading"), [("task3", "I. Linear Readouts"), ("task3_c3", "II. Linear Readouts")])
def test_the_r2_are_the_paper_s(task: str, heading: str) -> None:
    metrics = [f"r2/{name}" for name in ("vessels", "axons", "cell_count", "cell_size", "cell_distance")]
    rows = first_table(heading, len(metrics))
    assert list(rows) == list(networks(task))
    for method, cells in rows.items():
        ours = [score(task, method, metric) for metric in metrics]
        assert [(own.mean, own.std) for own in ours if own] == [parsed(cell) for cell in cells]


def parsed(cell: str) -> tuple[float, float | None]:
    mean, _, std = cell.partition(" +- ")
    return float(mean), float(std) if std else None


@needs_the_text
@pytest.mark.parametrize(
    ("heading", "region"), [("Cortex", "CTX"), ("Striatum", "STR"), ("VP", "VP"), ("ZI", "ZI"), ("Total", TOTAL)]
)
def test_the_proportions_are_the_paper_s(heading: str, region: str) -> None:
    [line] = re.findall(rf"^- {heading} - Background.*$", TEXT.read_text(), re.MULTILINE)
    theirs = tuple(float(number) for number in re.findall(r"([\d.]+)%", line))
    assert proportions(("CTX", "STR", "VP", "ZI"), 4)[region] == theirs


def test_a_few_numbers_that_a_reader_can_look_up() -> None:
    assert of_classes("task2_2D_4class", "MA-Net", "iou") == [0.89, 0.71, 0.78, 0.76, 0.78, 0.011]
    assert of_classes("task2_3D_3class", "3D U-Net", "f1") == [0.99, 0.77, 0.87, 0.88, 0.006]
    texts = {name: score("task1", name, "accuracy") for name in networks("task1")}
    assert [None if found is None else found.text for found in texts.values()] == [
        *["0.88 +- 0.03", "0.90 +- 0.04", "0.88 +- 0.02", "0.90 +- 0.02", "0.94 +- 0.02", "0.59", "0.62"]
    ]
    assert score("task3_c3", "MYOW", "r2/axons") == ("0.96 +- 0.00", 0.96, 0.0)
    assert score("task1", "SimCLR", "accuracy") is None
    assert score("task1", None, "accuracy") is None


@pytest.mark.parametrize("task", SEGMENTATION)
def test_every_average_is_that_of_its_classes_up_to_rounding(task: str) -> None:
    for method in networks(task):
        for metric in ("f1", "iou"):
            *classes, mean, _ = of_classes(task, method, metric)
            assert len(classes) == int(task[-6])
            assert mean == pytest.approx(fmean(classes), abs=0.0101)


def test_the_total_is_the_mean_of_four_cubes_of_one_size() -> None:
    regions = proportions(("CTX", "STR", "VP", "ZI"), 4)
    total = regions.pop(TOTAL)
    means = [fmean(values) for values in zip(*regions.values(), strict=True)]
    assert list(total) == pytest.approx(means, abs=0.0051)
    assert all(sum(values) == pytest.approx(100, abs=0.05) for values in regions.values())


def test_proportions_of_three_classes_add_axons_to_the_background() -> None:
    chosen = proportions(("CTX", "STR", "VP", "ZI"), 3)
    assert chosen["STR"] == pytest.approx((91.85, 2.5, 5.66))
    assert chosen[TOTAL] == pytest.approx((89.9, 3.74, 6.36))


def test_the_total_of_fewer_regions_is_their_mean_and_other_regions_have_none() -> None:
    chosen = proportions(("CTX", "STR", "VP"), 4)
    assert list(chosen) == ["CTX", "STR", "VP", TOTAL]
    assert chosen[TOTAL] == pytest.approx((188.38 / 3, 9.56 / 3, 16.03 / 3, 86.02 / 3))
    assert proportions(("CTX", "TRN"), 4) == {}
