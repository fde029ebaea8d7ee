"""A server that speaks S3 on this machine: moto's, with a count of requests and faults on demand."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import pyarrow.fs as pafs
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    # Nobody asks the machine for a role.
    "AWS_EC2_METADATA_DISABLED": "true",
}
_HOST = "127.0.0.1"


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
        pafs.S3FileSystem(
            access_key="tests",
            secret_key="tests",
            region="us-east-1",
            scheme="http",
            endpoint_override=self.endpoint,
            allow_bucket_creation=True,
        ).create_dir(name)
        return name

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
            answer: Iterable[bytes] = self._moto(environ, start_response)
            return answer
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(f"{status} scripted", [("Content-Type", "application/xml")])
        code = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}[status]
        return [] if method == "HEAD" else [f"<Error><Code>{code}</Code><Message>scripted</Message></Error>".encode()]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
