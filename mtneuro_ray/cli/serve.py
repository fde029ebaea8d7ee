"""`mtneuro-ray results serve`: the page of an output folder, live, while a sweep runs."""

from __future__ import annotations

from mtneuro_ray.cli.options import store_of
from mtneuro_ray.progress import working
from mtneuro_ray.storage.folder import Folder


def serve(out: Folder, store: str | None, port: int, seconds: float) -> int:
    """Print the address of the page, and serve it until Ctrl-C.

    Args:
        out: Output folder.
        store: Folder of cutouts; by default the output folder's.
        port: Port on 127.0.0.1; 0 for any free one.
        seconds: Time between two looks at the folder.
    """
    from mtneuro_ray.results.page.live import LivePage
    from mtneuro_ray.results.page.server import PageServer
    from mtneuro_ray.results.page.stored_results import StoredResults

    with working("reading the runs"):
        live = LivePage(out, StoredResults(out, store_of(store, str(out))), f"MTNeuro on Ray: {out}")
    with PageServer(live, port, seconds) as server:
        print(server.url, flush=True)
        server.serve_forever()
    return 0
