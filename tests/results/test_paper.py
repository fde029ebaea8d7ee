import re
from statistics import fmean

import pytest

from mtneuro_ray.results import paper
from tests.settings import NO_SHARED, SHARED

TEXT = SHARED / "paper" / "mtneuro_paper.txt"
needs_the_text = pytest.mark.skipif(not TEXT.is_file(), reason=NO_SHARED)
NAMES = [name for models in paper.METHODS.values() for name in models.values()]


def rows_of_text(heading: str) -> list[list[str]]:
    """The tab-separated rows of methods that follow a heading of the paper."""
    _, _, rest = TEXT.read_text().partition(heading)
    rows = [line.split("\t") for line in rest.splitlines() if line.split("\t")[0] in NAMES]
    return rows


def numbers(cells: list[str]) -> list[float]:
    return [float(number) for cell in cells for number in cell.split(" ± ")]


@needs_the_text
def test_table_2_is_the_paper_s() -> None:
    rows = [row for row in rows_of_text("Table 2: F1 & IoU") if row[1] in ("F1", "IoU")]
    assert len(rows) == len(paper.TABLE_2) == 18
    for (name, metric), scores in paper.TABLE_2.items():
        [row] = [row for row in rows if row[0] == name and row[1].lower() == metric]
        ours = [number for score in scores.values() for number in (*score.per_class, score.mean, score.std)]
        assert numbers(row[2:]) == ours


@needs_the_text
def test_table_a4_is_the_paper_s() -> None:
    rows = rows_of_text("Table A4: Optimal")
    assert {row[0]: numbers(row[1:]) for row in rows} == {
        name: [*cells[3], *cells[4]] for name, cells in paper.TABLE_A4.items()
    }
    assert [row[0] for row in rows] == NAMES


@needs_the_text
@pytest.mark.parametrize(
    ("heading", "region"), [("Cortex", "CTX"), ("Striatum", "STR"), ("VP", "VP"), ("ZI", "ZI"), ("Total", "Total")]
)
def test_the_proportions_are_the_paper_s(heading: str, region: str) -> None:
    [line] = re.findall(rf"^- {heading} - Background.*$", TEXT.read_text(), re.MULTILINE)
    assert tuple(float(number) for number in re.findall(r"([\d.]+)%", line)) == paper.PROPORTIONS[region]


def test_a_few_numbers_that_a_reader_can_look_up() -> None:
    assert paper.TABLE_2["MA-Net", "iou"][4] == ((0.89, 0.71, 0.78, 0.76), 0.78, 0.011)
    assert paper.TABLE_2["3D U-Net", "f1"][3] == ((0.99, 0.77, 0.87), 0.88, 0.006)
    assert paper.TABLE_A4["PAN"] == {3: (0.01, 10), 4: (0.001, 8)}


@pytest.mark.parametrize("key", paper.TABLE_2, ids=" ".join)
def test_every_average_is_that_of_its_classes_up_to_rounding(key: tuple[str, paper.Metric]) -> None:
    for classes, score in paper.TABLE_2[key].items():
        assert len(score.per_class) == len(paper.CLASSES[classes]) == classes
        assert score.mean == pytest.approx(fmean(score.per_class), abs=0.0101)


def test_the_total_is_the_mean_of_four_cubes_of_one_size() -> None:
    regions = [values for region, values in paper.PROPORTIONS.items() if region != paper.TOTAL]
    means = [fmean(values) for values in zip(*regions, strict=True)]
    assert list(paper.PROPORTIONS[paper.TOTAL]) == pytest.approx(means, abs=0.0051)
    assert all(sum(values) == pytest.approx(100, abs=0.05) for values in paper.PROPORTIONS.values())


def test_proportions_of_three_classes_add_axons_to_the_background() -> None:
    chosen = paper.proportions(("CTX", "STR", "VP", "ZI"), 3)
    assert chosen["STR"] == pytest.approx((91.85, 2.5, 5.66))
    assert chosen[paper.TOTAL] == pytest.approx((89.9, 3.74, 6.36))


def test_the_total_of_fewer_regions_is_their_mean() -> None:
    chosen = paper.proportions(("CTX", "STR", "VP"), 4)
    assert list(chosen) == ["CTX", "STR", "VP", paper.TOTAL]
    assert chosen[paper.TOTAL] == pytest.approx((188.38 / 3, 9.56 / 3, 16.03 / 3, 86.02 / 3))
