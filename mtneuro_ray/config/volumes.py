"""Addresses of volumes and sizes of voxels, as a task names them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, WrapValidator

from mtneuro_ray.config.base import Label

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


def sides_um(size: float | Sizes) -> Sizes:
    """Micrometers along z, y, x of a voxel; a single number is that of a cube."""
    return size if isinstance(size, tuple) else (size, size, size)
