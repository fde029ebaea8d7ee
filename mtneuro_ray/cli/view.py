"""`mtneuro-ray view`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from mtneuro_ray.errors import MTNeuroError


def run_view(
    image: Annotated[str, typer.Option(metavar="URI", help="the image")],
    prediction: Annotated[
        list[str], typer.Option(metavar="URI", help="what lies over it; may be given several times")
    ] = [],
    port: Annotated[
        int, typer.Option(min=0, max=65535, show_default=False, help="port on 127.0.0.1; default: a free one")
    ] = 0,
) -> int:
    """Serve a Neuroglancer page until Ctrl-C."""
    from mtneuro_ray.results.viewer import viewer_of

    try:
        viewer = viewer_of(image, prediction, port)
    except OSError as error:
        raise MTNeuroError(f"--port: {port}: {error.strerror or error}; accepted: a free port") from None
    print(viewer, flush=True)
    while True:
        time.sleep(3600)
