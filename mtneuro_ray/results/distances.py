"""How far our Table 2 is from the paper's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from mtneuro_ray.results import published
from mtneuro_ray.results.benchmark import paper_method, parts_of
from mtneuro_ray.results.cautions import phantom_note
from mtneuro_ray.results.frame import Key, Run
from mtneuro_ray.results.layouts import PARTS, REDUCTIONS
from mtneuro_ray.results.methods import by_method, data_labels, finished
from mtneuro_ray.results.published import DATA
from mtneuro_ray.results.scores import values_of
from mtneuro_ray.results.tables import Cells, Table, count, number


def distance_tables(runs: Sequence[Run]) -> list[Table]:
    """Mean absolute difference of our IoU from the paper's, per reduction (PROTOCOL, Task 2): one table, or none."""
    labels = data_labels(runs)
    rows: list[Cells] = []
    notes = ["Over the values of single classes that both have; averages follow from them."]
    for title, tasks in PARTS.items():
        for part, own in parts_of(finished(runs), tasks):
            distances = [_distances(own, reduction) for reduction in REDUCTIONS]
            if distances[0]:
                dataset, image = map(statistics.fmean, distances)
                closer = "equal" if abs(dataset - image) < 1e-9 else REDUCTIONS[dataset > image]
                cells = [count(len(distances[0])), number(dataset), number(image)]
                rows.append([title, part.source(labels), DATA, *cells, closer])
                notes += phantom_note(part.data)
    if not rows:
        return []
    columns = ["Part", "Ours", "Paper", "Values", *(f"IoU ({reduction})" for reduction in REDUCTIONS), "Closer"]
    title = "Table 2, mean absolute difference of our IoU from the paper's"
    return [Table(title, columns, rows, notes=tuple(dict.fromkeys(notes)))]


def _distances(runs: Sequence[Run], reduction: str) -> list[float]:
    """|ours - paper| of each class of each method that the paper has."""
    distances: list[float] = []
    for seeds in by_method(runs):
        task, method, classes = str(seeds[0].task["name"]), paper_method(seeds[0]), seeds[0].classes
        for name, heading in zip(classes, published.classes(task), strict=False):
            theirs = published.score(task, method, "iou", heading)
            ours = values_of(seeds, Key("test", f"{reduction}/iou", name))
            if theirs is not None and ours:
                distances.append(abs(statistics.fmean(ours) - theirs.mean))
    return distances
