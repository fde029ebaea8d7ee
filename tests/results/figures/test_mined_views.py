import numpy as np
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from mtneuro_ray.results.figures.mined_views import draw_views
from tests.results.figures.scenery import examples


def test_a_row_per_image_with_its_views_in_place_and_the_mined_one_framed() -> None:
    views = examples()
    figure = draw_views(views, "title")
    assert figure.get_suptitle() == "title\nmined in a pool of 128 crops of other images"
    rows = np.array(figure.axes).reshape(2, 6)
    headings = [axis.get_title() for axis in rows[0]]
    assert headings == ["image", "view", "augmented view", "mined view", "less alike", "least alike"]
    for number, row in enumerate(rows):
        boxes = [patch for patch in row[0].patches if isinstance(patch, Rectangle)]
        assert [[box.get_y() + 0.5, box.get_x() + 0.5] for box in boxes] == views.corners[number].tolist()
        assert {(box.get_width(), box.get_height()) for box in boxes} == {(8, 8)}
        shown = [np.asarray(axis.get_images()[0].get_array()) for axis in row]
        np.testing.assert_array_equal(shown[0], views.images[number])
        np.testing.assert_array_equal(shown[1:], [*views.views[number], *views.pool[number]])
        frames = [to_hex(axis.spines["left"].get_edgecolor()) for axis in row[1:4]]
        assert frames[:2] == [to_hex(box.get_edgecolor()) for box in boxes]
        assert len(set(frames)) == 3
        assert [axis.spines["left"].get_visible() for axis in row[4:]] == [False, False]
    assert rows[0, 5].get_xlabel() == "VP, cosine -0.250"


def test_a_pool_of_one_crop_has_only_a_mined_view() -> None:
    figure = draw_views(examples(images=1, shown=1), "title")
    assert [axis.get_title() for axis in figure.axes] == ["image", "view", "augmented view", "mined view"]
