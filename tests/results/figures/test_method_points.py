from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from mtneuro_ray.results.figures.method_points import draw_comparison
from mtneuro_ray.results.frame import runs_of
from mtneuro_ray.results.paper_tables import compared
from mtneuro_ray.results.published import networks
from tests.results.records import encoder_record, readout_record


def points(figure: Figure, panel: str, kind: str) -> dict[str, float]:
    """Method -> value of the points of one kind in a panel."""
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    [axis] = [axis for axis in figure.axes if axis.get_title() == panel]
    [bars] = [c for c in axis.containers if isinstance(c, ErrorbarContainer) and c.get_label() == kind]
    x, y = np.asarray(bars.lines[0].get_data())
    return {names[round(place)]: float(value) for value, place in zip(x, y, strict=True)}


def test_accuracies_stand_beside_the_paper_s() -> None:
    records = [encoder_record(value, seed=seed) for value, seed in ((0.7, 1), (0.9, 2))]
    changes: dict[str, Any] = {"data.batch_size": 64}
    other = encoder_record(0.4, method="BYOL", **changes)
    [found] = compared(runs_of([*records, other, encoder_record(0.6, "task1_c3", "PCA")]))
    figure = draw_comparison(found)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["BYOL [1]" if name == "BYOL" else name for name in networks("task1")]
    ours = points(figure, "ROI-C1", "ours")
    assert list(ours) == ["Supervised", "BYOL [1]"]
    assert np.allclose(list(ours.values()), [0.8, 0.4])
    assert points(figure, "ROI-C3", "ours") == {"PCA": 0.6}
    assert points(figure, "ROI-C3", "paper")["BYOL [1]"] == 0.97
    assert len(points(figure, "ROI-C2", "paper")) == 7
    assert "[1] data.batch_size=64" in figure.get_suptitle()


def test_readouts_on_all_and_on_held_out_slices_stand_beside_the_paper_s() -> None:
    records = [readout_record(0.9), readout_record(0.8, method="Sup w/ Mixup", mixup_probability=0.5)]
    [found] = compared(runs_of(records))
    figure = draw_comparison(found)
    assert len(figure.axes) == 5
    assert points(figure, "Axons", "R2 (all)") == {"Supervised": 0.8, "Sup w/ Mixup": 0.7000000000000001}
    assert np.allclose(list(points(figure, "Axons", "R2 (held out)").values()), [0.6, 0.5])
    assert points(figure, "Axons", "paper")["Sup w/ Mixup"] == 0.95
