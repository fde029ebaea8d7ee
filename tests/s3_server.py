"""A server that speaks S3, and Google's dialect of it, on this machine: moto's, with faults on demand."""

from __future__ import annotations

import logging
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    # Nobody asks the machine for a role.
    "AWS_EC2_METADATA_DISABLED": "true",
}
_HOST = "127.0.0.1"
_AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/s3/aws4_request"


class S3Server:
    """Serves S3 on 127.0.0.1 while its `with` block lasts. Buckets live as long as the process.

    Attributes:
        requests: Method and path of every request, faulty ones included.
        fault: Status that a request, given by method and path, is answered with; None for the true answer.
    """

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], int | None] = lambda method, path: None
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._port = 0
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        # Generation, as Google calls a version, -> ETag.
        self._etags: dict[str, str] = {}
        # moto compares an object's version, and then replaces it.
        self._writing = threading.Lock()

    @property
    def endpoint(self) -> str:
        """`HOST:PORT`."""
        return f"{_HOST}:{self._port}"

    def address(self, bucket: str, key: str = "out") -> str:
        """The address of a folder in a bucket."""
        return f"s3://{bucket}/{key}?scheme=http&endpoint_override={self.endpoint}"

    def new_bucket(self) -> str:
        """The name of a bucket that was made just now."""
        name = f"tests-{uuid.uuid4().hex}"
        self.put(f"/{name}", b"")
        return name

    def put(self, path: str, content: bytes) -> None:
        """Write an object, or make a bucket, past the client that is tested."""
        headers = {
            "Authorization": _AUTHORIZATION,
            "Content-Type": "application/octet-stream",
        }
        request = urllib.request.Request(f"http://{self.endpoint}{path}", content, headers, method="PUT")
        urllib.request.urlopen(request).close()

    def start(self) -> None:
        """Answer, on the same port as before; nothing happens where it does."""
        if self._server is not None:
            return
        self._server = make_server(_HOST, self._port, self._answer, threaded=True)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Be away."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        status = self.fault(method, path)
        if status is None:
            with self._writing if method == "PUT" else nullcontext():
                answer: Iterable[bytes] = self._moto(self._as_s3(environ), self._as_google(start_response))
            return answer
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(f"{status} scripted", [("Content-Type", "application/xml")])
        code = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}[status]
        return [] if method == "HEAD" else [f"<Error><Code>{code}</Code><Message>scripted</Message></Error>".encode()]

    def _as_s3(self, environ: dict[str, Any]) -> dict[str, Any]:
        """A request of a client for Google's storage, whose XML interface differs in credentials and conditions."""
        generation = environ.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None)
        if environ.get("HTTP_AUTHORIZATION", "").startswith("Bearer"):
            environ["HTTP_AUTHORIZATION"] = _AUTHORIZATION
            # Google's client escapes every slash and dash, which moto takes for names.
            environ["RAW_URI"] = environ["REQUEST_URI"] = unquote(environ["REQUEST_URI"])
        if generation == "0":
            environ["HTTP_IF_NONE_MATCH"] = "*"
        elif generation is not None:
            environ["HTTP_IF_MATCH"] = self._etags.get(generation, "none")
        return environ

    def _as_google(self, start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            etag = {name.lower(): value for name, value in headers}.get("etag")
            if etag is None:
                return start_response(status, headers, *rest)
            generation = str(int(etag.strip('"')[:12], 16))
            self._etags[generation] = etag
            return start_response(status, [*headers, ("x-goog-generation", generation)], *rest)

        return start

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
