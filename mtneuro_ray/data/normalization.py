"""Scaling of grey values into the inputs of a model, by settings and by statistics of the training split."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtneuro_ray.config.owners import DataSettings
from mtneuro_ray.errors import InputError

logger = logging.getLogger(__name__)

Images = npt.NDArray[Any]

# Images of the training split that statistics come from, evenly spread over it, and voxels of each channel of an image.
STATISTICS_IMAGES = 256
STATISTICS_VOXELS = 2**14
ACCEPTED_FINITE = "accepted: finite grey values, or data.nonfinite = NUMBER, which replaces them"
_WITHOUT_RANGE = "accepted: window (with low and high), percentile, zscore or image"


@dataclass(frozen=True, slots=True)
class Scaling:
    """Grey values x of channel c become (x - shift[c]) * factor[c].

    Attributes:
        dtype: NumPy's name of the images' type; other images are refused.
        shift: For each channel, the value that becomes 0.
        factor: For each channel, the factor.
        clips: Whether results are clipped to 0 and 1.
        fill: Value of voxels that are NaN or infinite, before scaling; None where such voxels are refused.
        least_deviation: For each channel, the least standard deviation that an image is divided by, after scaling, in
            `image` normalization; None in others.
    """

    dtype: str
    shift: tuple[float, ...]
    factor: tuple[float, ...]
    clips: bool = False
    fill: float | None = None
    least_deviation: tuple[float, ...] | None = None

    @classmethod
    def of(cls, settings: DataSettings, images: Sequence[Images], where: str) -> Scaling:
        """The scaling by a network's settings and sampled images of the training split.

        Args:
            settings: The network's settings.
            images: Images (C, ...), at least one, all of one type; see `sampled`.
            where: Task, for errors.

        Raises:
            InputError: the type has no range that `unit` could scale by, or a channel has no finite voxel.
        """
        dtype, channels, name = images[0].dtype, len(images[0]), settings.normalization
        if dtype.kind != "f" and name in ("unit", "image"):
            low, width = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max) - float(np.iinfo(dtype).min)
            least = (1 / width,) * channels if name == "image" else None
            return cls(dtype.name, (low,) * channels, (1 / width,) * channels, least_deviation=least)
        check_range(settings, dtype, where)
        clips = name in ("window", "percentile")
        if name == "window":
            ranges = [(float(settings.low or 0.0), float(settings.high or 0.0))] * channels
        else:
            ranges = [_range(settings, _values(images, channel, where), where) for channel in range(channels)]
        shift, widths = (tuple(column) for column in zip(*((low, high - low) for low, high in ranges), strict=True))
        factor = tuple(1 / width for width in widths)
        # A flat image has no deviation of its own; a part of the split's bounds the division.
        least = (1 / 255,) * channels if name == "image" else None
        return cls(dtype.name, shift, factor, clips, settings.nonfinite, least)

    @classmethod
    def of_bytes(cls, settings: DataSettings, channels: int, where: str) -> Scaling:
        """The scaling of bytes where no statistics are known, as for runs that were trained before there were any.

        Raises:
            InputError: the settings need statistics.
        """
        if settings.normalization in ("percentile", "zscore"):
            raise InputError(
                f"{where}: data.normalization: the statistics of {settings.normalization!r} are not known; accepted: a "
                "run whose training has recorded them"
            )
        return cls.of(settings, [np.zeros((channels, 1), np.uint8)], where)

    @classmethod
    def loaded(cls, values: Mapping[str, Any]) -> Scaling | None:
        """The scaling in a run file or checkpoint; None where it holds none.

        Raises:
            TypeError, ValueError: the values are not those of a scaling.
        """
        if not values:
            return None
        least = values.get("least_deviation")
        found = {"shift": _floats(values["shift"]), "factor": _floats(values["factor"])}
        return cls(**{**values, **found, "least_deviation": None if least is None else _floats(least)})

    def record(self) -> dict[str, Any]:
        """The values for a run file or checkpoint."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def sampled(images: Images) -> list[Images]:
    """The images (N, C, ...) of a training split that its statistics come from."""
    return [images[number] for number in evenly(len(images), STATISTICS_IMAGES)]


def evenly(count: int, wanted: int) -> list[int]:
    """`wanted` of the numbers below `count`, evenly spread; all of them if there are no more."""
    return [int(number) for number in np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))]


def check_range(settings: DataSettings, dtype: np.dtype[Any], where: str) -> None:
    """Check that images of this type can be scaled as the settings say.

    Raises:
        InputError: they can't.
    """
    if dtype.kind == "f" and settings.normalization == "unit":
        raise InputError(
            f"{where}: data.normalization: 'unit' divides by the range of the type, and {dtype} has none; "
            f"{_WITHOUT_RANGE}"
        )


def _values(images: Sequence[Images], channel: int, where: str) -> npt.NDArray[np.float64]:
    """Finite values of one channel of images, sampled."""
    found = []
    for image in images:
        values = image[channel].ravel()
        found.append(values[evenly(values.size, STATISTICS_VOXELS)].astype(np.float64))
    joined = np.concatenate(found)
    finite: npt.NDArray[np.float64] = joined[np.isfinite(joined)]
    if not finite.size:
        raise InputError(
            f"{where}: image_chan: channel {channel} of the training split has no finite voxel; accepted: one that has"
        )
    return finite


def _range(settings: DataSettings, values: npt.NDArray[np.float64], where: str) -> tuple[float, float]:
    """The values of a channel that become 0 and 1."""
    if settings.normalization == "percentile":
        low, high = (float(each) for each in np.percentile(values, settings.percentiles))
    else:
        low = float(values.mean())
        high = low + float(values.std())
    if high > low:
        return low, high
    logger.warning("%s: a channel has one grey value (%g) in the training split, and is not scaled", where, low)
    return low, low + 1.0


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def check_finite(images: Images, settings: DataSettings, where: str) -> None:
    """Check that images (N, C, ...) hold numbers only, unless the settings replace others.

    Raises:
        InputError: they don't.
    """
    if images.dtype.kind != "f" or settings.nonfinite is not None:
        return
    for number, image in enumerate(images):
        bad = image.size - int(np.count_nonzero(np.isfinite(image)))
        if bad:
            raise InputError(
                f"{where}: image_chan: {bad} voxels of image {number} are NaN or infinite; {ACCEPTED_FINITE}"
            )
