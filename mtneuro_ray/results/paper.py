"""What the paper published on Task 2: Table 2, Table A4 and the class proportions of Appendix 4.2.3."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

Dimension = Literal["2D", "3D"]
Metric = Literal["f1", "iou"]

DATA = "prasad2020"
EPOCHS = 20
# Model -> the paper's name of it, in the order of its tables.
METHODS: dict[Dimension, dict[str, str]] = {
    "2D": {
        "UNet": "2D U-Net",
        "MAnet": "MA-Net",
        "FPN": "FPN",
        "UnetPlusPlus": "U-Net++",
        "PAN": "PAN",
        "PSPNet": "PSPNet",
    },
    "3D": {"UNet": "3D U-Net", "VNetLight": "VNetLight", "HighResNet": "HighResNet"},
}
# Number of classes -> their headings.
CLASSES: dict[int, tuple[str, ...]] = {
    3: ("Bg + Axons", "Vessels", "Cells"),
    4: ("Bg", "Vessels", "Cells", "Axons"),
}


class Score(NamedTuple):
    """One metric of one method: a value per class, their mean, and its deviation over the seeds."""

    per_class: tuple[float, ...]
    mean: float
    std: float


class Hyperparameters(NamedTuple):
    """The cell that the paper's search selected."""

    learning_rate: float
    batch_size: int


# Method and metric -> number of classes -> score.
TABLE_2: dict[tuple[str, Metric], dict[int, Score]] = {
    ("2D U-Net", "f1"): {
        3: Score((0.99, 0.76, 0.85), 0.87, 0.012),
        4: Score((0.97, 0.82, 0.87, 0.94), 0.90, 0.003),
    },
    ("2D U-Net", "iou"): {
        3: Score((0.98, 0.64, 0.75), 0.79, 0.014),
        4: Score((0.89, 0.70, 0.77, 0.60), 0.74, 0.008),
    },
    ("MA-Net", "f1"): {
        3: Score((0.99, 0.79, 0.87), 0.88, 0.003),
        4: Score((0.97, 0.83, 0.87, 0.94), 0.90, 0.002),
    },
    ("MA-Net", "iou"): {
        3: Score((0.98, 0.68, 0.78), 0.81, 0.003),
        4: Score((0.89, 0.71, 0.78, 0.76), 0.78, 0.011),
    },
    ("FPN", "f1"): {
        3: Score((0.99, 0.72, 0.84), 0.85, 0.01),
        4: Score((0.96, 0.73, 0.84, 0.93), 0.86, 0.004),
    },
    ("FPN", "iou"): {
        3: Score((0.97, 0.59, 0.73), 0.76, 0.015),
        4: Score((0.87, 0.59, 0.72, 0.72), 0.72, 0.021),
    },
    ("U-Net++", "f1"): {
        3: Score((0.99, 0.79, 0.87), 0.89, 0.002),
        4: Score((0.97, 0.81, 0.85, 0.93), 0.89, 0.015),
    },
    ("U-Net++", "iou"): {
        3: Score((0.98, 0.68, 0.78), 0.81, 0.002),
        4: Score((0.88, 0.68, 0.75, 0.73), 0.76, 0.036),
    },
    ("PAN", "f1"): {
        3: Score((0.98, 0.60, 0.80), 0.79, 0.035),
        4: Score((0.95, 0.69, 0.80, 0.93), 0.84, 0.007),
    },
    ("PAN", "iou"): {
        3: Score((0.96, 0.46, 0.66), 0.69, 0.039),
        4: Score((0.85, 0.53, 0.67, 0.76), 0.70, 0.014),
    },
    ("PSPNet", "f1"): {
        3: Score((0.97, 0.48, 0.74), 0.73, 0.013),
        4: Score((0.94, 0.54, 0.71, 0.91), 0.78, 0.012),
    },
    ("PSPNet", "iou"): {
        3: Score((0.94, 0.39, 0.61), 0.65, 0.043),
        4: Score((0.82, 0.38, 0.55, 0.74), 0.62, 0.015),
    },
    ("3D U-Net", "f1"): {
        3: Score((0.99, 0.77, 0.87), 0.88, 0.006),
        4: Score((0.93, 0.76, 0.80, 0.87), 0.84, 0.032),
    },
    ("3D U-Net", "iou"): {
        3: Score((0.98, 0.65, 0.76), 0.80, 0.007),
        4: Score((0.81, 0.62, 0.67, 0.50), 0.65, 0.045),
    },
    ("VNetLight", "f1"): {
        3: Score((0.99, 0.75, 0.83), 0.85, 0.012),
        4: Score((0.90, 0.65, 0.73, 0.76), 0.76, 0.063),
    },
    ("VNetLight", "iou"): {
        3: Score((0.97, 0.61, 0.70), 0.76, 0.013),
        4: Score((0.78, 0.46, 0.58, 0.43), 0.56, 0.061),
    },
    ("HighResNet", "f1"): {
        3: Score((0.99, 0.74, 0.84), 0.85, 0.019),
        4: Score((0.89, 0.51, 0.73, 0.77), 0.72, 0.083),
    },
    ("HighResNet", "iou"): {
        3: Score((0.97, 0.61, 0.72), 0.77, 0.026),
        4: Score((0.73, 0.35, 0.58, 0.42), 0.52, 0.075),
    },
}

# Method -> number of classes -> cell.
TABLE_A4: dict[str, dict[int, Hyperparameters]] = {
    "2D U-Net": {3: Hyperparameters(0.1, 8), 4: Hyperparameters(0.01, 4)},
    "MA-Net": {3: Hyperparameters(0.01, 2), 4: Hyperparameters(0.001, 8)},
    "FPN": {3: Hyperparameters(0.01, 2), 4: Hyperparameters(0.01, 4)},
    "U-Net++": {3: Hyperparameters(0.001, 8), 4: Hyperparameters(0.01, 8)},
    "PAN": {3: Hyperparameters(0.01, 10), 4: Hyperparameters(0.001, 8)},
    "PSPNet": {3: Hyperparameters(0.01, 4), 4: Hyperparameters(0.1, 2)},
    "3D U-Net": {3: Hyperparameters(0.005, 1), 4: Hyperparameters(0.01, 1)},
    "VNetLight": {3: Hyperparameters(0.01, 1), 4: Hyperparameters(0.01, 1)},
    "HighResNet": {3: Hyperparameters(0.005, 1), 4: Hyperparameters(0.001, 1)},
}

TOTAL = "Total"
# Region -> background, vessels, cells, axons in % of the voxels of its dense cube; the total is that of all four.
PROPORTIONS: dict[str, tuple[float, ...]] = {
    "CTX": (93.0, 2.33, 4.64, 0.0),
    "STR": (72.63, 2.5, 5.66, 19.22),
    "VP": (22.75, 4.73, 5.73, 66.8),
    "ZI": (32.15, 5.4, 9.41, 53.04),
    TOTAL: (55.13, 3.74, 6.36, 34.77),
}


def proportions(regions: Collection[str], classes: int) -> dict[str, tuple[float, ...]]:
    """The proportions of some of the four regions, and of all of them together.

    Args:
        regions: CTX, STR, VP, ZI or some of them.
        classes: 3 adds the axons to the background.

    Returns:
        Region -> % of each class. The total of fewer than four regions is the mean of theirs, their cubes being of
        one size: the paper gives none.
    """
    chosen = {region: PROPORTIONS[region] for region in regions}
    means = tuple(sum(values) / len(chosen) for values in zip(*chosen.values(), strict=True))
    chosen[TOTAL] = PROPORTIONS[TOTAL] if len(chosen) == len(PROPORTIONS) - 1 else means
    if classes == 4:
        return chosen
    return {region: (values[0] + values[3], *values[1:3]) for region, values in chosen.items()}
