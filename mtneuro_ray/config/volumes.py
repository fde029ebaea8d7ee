"""Addresses of volumes and sizes of voxels, as a task names them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, WrapValidator

from mtneuro_ray.config.base import Label, Settings
from mtneuro_ray.errors import InputError
from mtneuro_ray.volumes.address_options import AddressOptions

Size = Annotated[float, Field(gt=0.0, le=1e9, allow_inf_nan=False)]
Sizes = tuple[Size, Size, Size]
"""Micrometers along z, y, x."""

_ADDRESS: TypeAdapter[str] = TypeAdapter(Label)
_ADDRESSES: TypeAdapter[tuple[str, ...]] = TypeAdapter(Annotated[tuple[Label, ...], Field(min_length=1)])
_SIZE: TypeAdapter[float] = TypeAdapter(Size)
_SIZES: TypeAdapter[Sizes] = TypeAdapter(Sizes)


# Each of these instead of pydantic's own union, which would name its members in every error.
def _addresses(value: Any, union: Any) -> str | tuple[str, ...]:
    return (_ADDRESSES if isinstance(value, (list, tuple)) else _ADDRESS).validate_python(value)


def _sizes(value: Any, union: Any) -> float | Sizes | None:
    if value is None:
        return None
    return (
        _SIZES.validate_python(value) if isinstance(value, (list, tuple)) else _SIZE.validate_python(value, strict=True)
    )


Addresses = Annotated[str | tuple[str, ...], WrapValidator(_addresses)]
VoxelSize = Annotated[float | Sizes | None, WrapValidator(_sizes)]


class VolumeSettings(Settings):
    """A further volume of a task: its image, and what lies on it."""

    image_chan: Addresses
    """Address of the image volume, or a list, the channels in order."""
    annotation_chan: Label | None = None
    """Address of the label volume."""
    mask_chan: Label | None = None
    """Address of a volume that is 0 where the annotation is to be ignored."""
    voxel_size_um: VoxelSize = None
    """Edges of a voxel z, y, x in micrometers, or one number for all; the volume's by default."""


def addresses_of(image_chan: str | tuple[str, ...]) -> tuple[str, ...]:
    """Addresses in a key `image_chan`."""
    return (image_chan,) if isinstance(image_chan, str) else image_chan


def size_in(addresses: Iterable[str]) -> Sizes | None:
    """Micrometers z, y, x that the first address with `?voxel_size=` gives; None where none does, or it is no size."""
    for address in addresses:
        with suppress(InputError):
            if (size := AddressOptions.split(address)[1].voxel_size_um) is not None:
                return size
    return None


def sides_um(size: float | Sizes) -> Sizes:
    """Micrometers along z, y, x of a voxel; a single number is that of a cube."""
    return size if isinstance(size, tuple) else (size, size, size)
