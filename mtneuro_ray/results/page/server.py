"""The live page over HTTP, on this machine alone.

Who asks has to name the token that was drawn at the start, and this server as the host: a page of another site that has
its name resolved to 127.0.0.1 (DNS rebinding) names itself there. Only GET is answered, and nothing can be changed.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mtneuro_ray.errors import MTNeuroError, in_one_line
from mtneuro_ray.results.page.document import policy
from mtneuro_ray.results.page.live import FRAGMENTS, LivePage

logger = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Encoding": "gzip",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Seconds that a client may take for its request.
_PATIENCE_S = 10


class PageServer(ThreadingHTTPServer):
    """Serves a live page; `serve_forever` in one thread, the page's refreshes in another.

    Args:
        live: The page.
        port: Port on 127.0.0.1; 0 for any free one.
        every_s: Seconds between two looks at the folder.

    Raises:
        MTNeuroError: the port is taken, or may not be used.
    """

    daemon_threads = True

    def __init__(self, live: LivePage, port: int = 0, every_s: float = 5.0) -> None:
        self.live, self._every_s = live, every_s
        self.token = secrets.token_urlsafe(24)
        """Secret of this start, which every request has to name."""
        self._ended = threading.Event()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise MTNeuroError(f"--port: {port}: {error.strerror or error}; accepted: a free port") from None
        threading.Thread(target=self._refresh, daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the page, with the token."""
        return f"http://{ADDRESS}:{self.server_port}/?token={self.token}"

    @property
    def hosts(self) -> set[str]:
        """Names by which a browser may ask for this server."""
        return {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}

    def server_close(self) -> None:
        """End the refreshes, and close the socket."""
        self._ended.set()
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of the server."""
        logger.info("%s: a request was not answered", client_address, exc_info=True)

    def _refresh(self) -> None:
        self.live.prepare()
        while not self._ended.wait(self._every_s):
            self.live.refresh()


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = _PATIENCE_S
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "mtneuro-ray", ""

    def do_GET(self) -> None:
        """Answer with the page, a part of it, or an error without details."""
        address = urlsplit(self.path)
        if self.headers.get("Host", "") not in self.server.hosts:
            return self._refuse(HTTPStatus.FORBIDDEN, "this is another host")
        token = parse_qs(address.query).get("token", [""])[0]
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            return self._refuse(HTTPStatus.FORBIDDEN, "the token is missing or wrong; accepted: the printed address")
        try:
            kind, content = self._find(unquote(address.path))
        except KeyError:
            return self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        # A part that fails must not end the others; its cause is for the one who runs the server.
        except Exception as error:
            logger.warning("%s: %s", address.path, in_one_line(error))
            return self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "this part could not be made")
        self._answer(HTTPStatus.OK, kind, content, _HEADERS)

    def _find(self, path: str) -> tuple[str, bytes]:
        """Type and compressed content of a path.

        Raises:
            KeyError: there is no such path.
        """
        live, (room, _, name) = self.server.live, path.removeprefix("/").partition("/")
        if path == "/":
            return "text/html; charset=utf-8", live.snapshot.page()
        if path == "/state":
            return "application/json", live.state()
        if room == "fragment" and name in FRAGMENTS:
            return "text/html; charset=utf-8", live.snapshot.fragment(name)
        if room != "data":
            raise KeyError(path)
        make: Callable[[str], bytes] = live.snapshot.data
        if name.startswith("run/"):
            make, name = live.snapshot.run, name.removeprefix("run/")
        return "application/json", make(name)

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        headers = {name: value for name, value in _HEADERS.items() if name != "Content-Encoding"}
        self._answer(status, "text/plain; charset=utf-8", f"{reason}\n".encode(), {**headers, "Connection": "close"})

    def _answer(self, status: HTTPStatus, kind: str, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", f"{policy(is_live=True)}; frame-ancestors 'none'")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests, which name the token, are not logged."""
