"""Settings that leave this machine: without the names of its folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# A path, or an address of one, with its scheme and its last part.
_LOCAL = re.compile(r"((?:[a-z0-9]+:)?(?://)?)/(?:[^?]*/)?([^/?]+/?(?:\?.*)?)")


def without_folders(value: Any) -> Any:
    """Settings in which paths and addresses of this machine keep their last part only.

    No id of a run depends on them: identities name the voxels and weights.

    Example:
        >>> without_folders({"image_chan": "zarr:///home/me/brain.zarr?level=1", "other": "s3://bucket/key"})
        {'image_chan': 'zarr://brain.zarr?level=1', 'other': 's3://bucket/key'}
    """
    if isinstance(value, Mapping):
        return {key: without_folders(own) for key, own in value.items()}
    if isinstance(value, list):
        return [without_folders(own) for own in value]
    found = _LOCAL.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else found[1] + found[2]
