"""What the paper published on Tasks 1 and 3: Tables 1, A3 and 3."""

from __future__ import annotations

from typing import NamedTuple

from mtneuro_ray.data.attributes import ATTRIBUTES, HEADINGS

EPOCHS = 100
# Of the supervised models (section 4.1).
WEIGHT_DECAY = 0.3

SUPERVISED = "Supervised"
MIXUP = "Sup w/ Mixup"
# In the order of the tables; Table A3 calls the first two Resnet18 and Resnet18-Mixup.
METHODS = (SUPERVISED, MIXUP, "BYOL", "MYOW", "MYOW-m", "PCA", "NMF")

# Task -> its column.
TABLE_1 = {"task1": "ROI-C1", "task1_c2": "ROI-C2", "task1_c3": "ROI-C3"}
TABLE_A3 = {"task1_x4": "Downsampling 4", "task1": "Downsampling 2", "task1_x1": "Full-res"}
# Task -> the part of the table: which encoders are read out.
TABLE_3 = {
    "task3": "I. Linear readouts from models trained on a single subvolume (ROI-C1)",
    "task3_c3": "II. Linear readouts from models trained on two subvolumes (ROI-C3)",
}
# Metric -> its column.
READOUTS = {f"r2/{name}": HEADINGS[name] for name in ATTRIBUTES}


class Score(NamedTuple):
    """A mean over seeds and its deviation; PCA and NMF have none."""

    mean: float
    std: float | None = None


def _scores(*pairs: tuple[float, float] | tuple[float]) -> tuple[Score, ...]:
    return tuple(Score(*pair) for pair in pairs)


# Task -> accuracy of each method, in the order of METHODS.
_ACCURACY: dict[str, tuple[Score, ...]] = {
    "task1": _scores((0.88, 0.03), (0.90, 0.04), (0.88, 0.02), (0.90, 0.02), (0.94, 0.02), (0.59,), (0.62,)),
    "task1_c2": _scores((0.77, 0.03), (0.78, 0.03), (0.76, 0.02), (0.78, 0.05), (0.78, 0.03), (0.25,), (0.27,)),
    "task1_c3": _scores((0.88, 0.02), (0.90, 0.02), (0.97, 0.01), (0.98, 0.01), (0.98, 0.01), (0.07,), (0.50,)),
    "task1_x4": _scores((0.83, 0.06), (0.85, 0.06), (0.83, 0.04), (0.84, 0.04), (0.84, 0.05), (0.59,), (0.55,)),
    "task1_x1": _scores((0.87, 0.1), (0.91, 0.03), (0.98, 0.01), (0.96, 0.03), (0.99, 0.01), (0.59,), (0.54,)),
}
# Task and method -> R2 of each attribute, in the order of READOUTS.
_R2: dict[str, dict[str, tuple[Score, ...]]] = {
    "task3": {
        "Supervised": _scores((0.77, 0.06), (0.94, 0.01), (0.67, 0.06), (0.61, 0.05), (0.48, 0.05)),
        "Sup w/ Mixup": _scores((0.82, 0.02), (0.95, 0.00), (0.71, 0.02), (0.67, 0.03), (0.47, 0.02)),
        "BYOL": _scores((0.85, 0.01), (0.94, 0.01), (0.75, 0.01), (0.69, 0.01), (0.49, 0.01)),
        "MYOW": _scores((0.85, 0.01), (0.94, 0.01), (0.74, 0.01), (0.69, 0.01), (0.50, 0.02)),
        "MYOW-m": _scores((0.87, 0.01), (0.95, 0.01), (0.77, 0.01), (0.69, 0.01), (0.51, 0.01)),
        "PCA": _scores((0.75,), (0.82,), (0.55,), (0.47,), (0.31,)),
        "NMF": _scores((0.81,), (0.85,), (0.59,), (0.55,), (0.34,)),
    },
    "task3_c3": {
        "Supervised": _scores((0.79, 0.02), (0.94, 0.02), (0.73, 0.02), (0.63, 0.04), (0.49, 0.02)),
        "Sup w/ Mixup": _scores((0.75, 0.04), (0.88, 0.04), (0.64, 0.04), (0.54, 0.07), (0.37, 0.05)),
        "BYOL": _scores((0.88, 0.00), (0.96, 0.00), (0.79, 0.00), (0.73, 0.01), (0.53, 0.02)),
        "MYOW": _scores((0.88, 0.01), (0.96, 0.00), (0.79, 0.01), (0.72, 0.01), (0.52, 0.01)),
        "MYOW-m": _scores((0.87, 0.01), (0.96, 0.01), (0.78, 0.01), (0.72, 0.01), (0.53, 0.01)),
        "PCA": _scores((0.75,), (0.82,), (0.53,), (0.46,), (0.29,)),
        "NMF": _scores((0.75,), (0.83,), (0.56,), (0.49,), (0.31,)),
    },
}


def accuracy(setting: str, method: str) -> Score:
    """Accuracy of a method on a task of Table 1 or A3."""
    return _ACCURACY[setting][METHODS.index(method)]


def r2(setting: str, method: str) -> dict[str, Score]:
    """Column of Table 3 -> R2 of a method, on all samples."""
    return dict(zip(READOUTS.values(), _R2[setting][method], strict=True))
