"""`mtneuro-ray inspect`."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from typer import Argument, Option

from mtneuro_ray.onboarding.inspection import SAMPLED_VOXELS, Inspection, inspect_volume
from mtneuro_ray.progress import say


def run_inspect(
    uri: Annotated[list[str], Argument(metavar="URI...", help="address of a volume, or a path of this machine")],
    voxels: Annotated[
        int, Option(metavar="N", min=1, max=2**30, help="most voxels that are read of each channel")
    ] = SAMPLED_VOXELS,
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="seed of the places that are read")] = 0,
    format: Annotated[Literal["text", "json"], Option()] = "text",
) -> int:
    """Print metadata, and grey values or labels of a sample, of one or several volumes."""
    found: list[Inspection] = []
    for each in uri:
        channels = inspect_volume(each, voxels, seed)
        found += channels
        if len(channels) < channels[0].channels:
            say(f"{each}: the first {len(channels)} of {channels[0].channels} channels; ?channel=N shows another")
    if format == "json":
        print(json.dumps([channel.as_dict() for channel in found], indent=1))
    else:
        print("\n\n".join(channel.as_text() for channel in found))
    return 0
