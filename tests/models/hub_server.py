"""A loopback server that speaks the part of the Hugging Face hub's protocol that downloads a file."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

# A revision other than a commit, such as "main", is answered with this commit.
COMMIT = "0" * 40
Server = TypeVar("Server", bound="Hub")


class Hub(ThreadingHTTPServer):
    """Serves `files`, keyed by (repository, file name), at every revision; notes what was asked in `requests`."""

    def __init__(self, files: dict[tuple[str, str], bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())

    def _answer(self) -> bytes:
        self.server.requests.append(f"{self.command} {self.path}")
        place = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        content = self.server.files.get((place[1], place[3])) if place else b""
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "RepoNotFound")
        elif place:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", place[2] if re.fullmatch("[0-9a-f]{40}", place[2]) else COMMIT)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        return content or b""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(hub: Server) -> Iterator[Server]:
    with hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def serving(files: dict[tuple[str, str], bytes]) -> AbstractContextManager[Hub]:
    return served(Hub(files))
