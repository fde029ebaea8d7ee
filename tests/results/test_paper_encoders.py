import pytest

from mtneuro_ray.results import paper_encoders as paper
from tests.settings import NO_SHARED, SHARED

TEXT = SHARED / "paper" / "mtneuro_paper.txt"
needs_the_text = pytest.mark.skipif(not TEXT.is_file(), reason=NO_SHARED)
# As Table A3 calls them.
RESNETS = {"Resnet18": "Supervised", "Resnet18-Mixup": "Sup w/ Mixup"}


def rows_of_text(heading: str, settings: list[str]) -> dict[str, list[str]]:
    """Method -> the cells of its row in the first table below a heading of the paper."""
    _, _, rest = TEXT.read_text().partition(heading)
    rows = [line.split("\t") for line in rest.splitlines()]
    found: dict[str, list[str]] = {}
    for name, *cells in rows:
        name = RESNETS.get(name, name)
        if name in paper.METHODS and len(cells) == len(settings):
            found.setdefault(name, cells)
    return found


def score(cell: str) -> paper.Score:
    parts = cell.replace("$", "").replace(r"\pm", "±").split("±")
    return paper.Score(*map(float, parts))


@needs_the_text
@pytest.mark.parametrize(
    ("heading", "columns"), [("Table 1: Results", paper.TABLE_1), ("Table A3: Results", paper.TABLE_A3)]
)
def test_the_accuracies_are_the_paper_s(heading: str, columns: dict[str, str]) -> None:
    rows = rows_of_text(heading, list(columns))
    assert tuple(rows) == paper.METHODS
    for method, cells in rows.items():
        assert [paper.accuracy(setting, method) for setting in columns] == [score(cell) for cell in cells]


@needs_the_text
@pytest.mark.parametrize(("setting", "heading"), [("task3", "I. Linear Readouts"), ("task3_c3", "II. Linear Readouts")])
def test_the_r2_are_the_paper_s(setting: str, heading: str) -> None:
    rows = rows_of_text(heading, list(paper.READOUTS))
    assert tuple(rows) == paper.METHODS
    for method, cells in rows.items():
        assert list(paper.r2(setting, method).values()) == [score(cell) for cell in cells]


def test_a_few_numbers_that_a_reader_can_look_up() -> None:
    assert paper.accuracy("task1_c3", "MYOW-m") == (0.98, 0.01)
    assert paper.accuracy("task1_x1", "NMF") == (0.54, None)
    assert paper.r2("task3", "MYOW")["Dist (k=1)"] == (0.50, 0.02)
    assert list(paper.r2("task3_c3", "PCA")) == ["Vessels", "Axons", "Cell Count", "Cell Size", "Dist (k=1)"]
