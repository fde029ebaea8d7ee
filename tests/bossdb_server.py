"""A BossDB on this machine: enough of its REST protocol for the real `intern` client, and faults on demand."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self, cast

import blosc
import numpy as np

from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes.source import Voxels

# fmt: off
Fault = Literal[
    "503", "429", "429-long", "400", "401", "403", "404", "stall", "drip", "cut", "garbage", "empty", "shape", "reset",
    "endless", "long", "unfolding", "top bit", "encoding", "list", "deep",
]
# fmt: on

# Answers that parsers fall over: headers and body.
_FOREIGN: dict[str, tuple[dict[str, str], bytes]] = {
    "unfolding": ({"Content-Encoding": "gzip"}, gzip.compress(bytes(2**26))),
    "encoding": ({"Content-Encoding": "br"}, b"whatever"),
    # Sizes of a blosc header with their highest bits set.
    "top bit": ({}, b"\x02\x01\x11\x01" + b"\xff" * 12 + bytes(64)),
    "list": ({}, b"[1, 2]"),
    "deep": ({}, b"[" * 100_000),
}
_CUTOUT = re.compile(r"/v1/cutout/([^/]+/[^/]+/[^/]+)/0/(\d+):(\d+)/(\d+):(\d+)/(\d+):(\d+)/")
_CHANNEL = re.compile(r"/v1/collection/([^/]+)/experiment/([^/]+)/channel/([^/]+)/?")
_EXPERIMENT = re.compile(r"/v1/collection/([^/]+)/experiment/([^/]+)/?")
_COLLECTION = re.compile(r"/v1/collection/([^/]+)/?")
_FRAME = re.compile(r"/v1/coord/frame\.([^/]+)\.([^/]+)/?")


class BossServer:
    """Serves arrays as BossDB channels on 127.0.0.1 while its `with` block lasts.

    Args:
        channels: `collection/experiment/channel` -> uint8, uint16 or uint64 array, axes z, y, x.
        token: The only one accepted.
        latency_s: Seconds that every answer is held back.
        stall_s: Seconds that a `stall` holds an answer back and a `drip` goes on.

    Attributes:
        starts: Lowest voxel of every coordinate frame, z, y, x.
        requests: Path of every request, in order of arrival, faulty ones included.
        boxes: Channel and box of every cutout that was asked for, faulty ones included.
    """

    def __init__(
        self,
        channels: Mapping[str, Voxels],
        token: str = "public",
        latency_s: float = 0.0,
        stall_s: float = 30.0,
    ) -> None:
        self.channels = dict(channels)
        self.token = token
        self.latency_s = latency_s
        self.stall_s = stall_s
        self.starts = (0, 0, 0)
        self.requests: list[str] = []
        self.boxes: list[tuple[str, Roi]] = []
        self.closing = threading.Event()
        self._faults: dict[bool, deque[Fault]] = {True: deque(), False: deque()}
        self._forever: dict[bool, Fault | None] = {True: None, False: None}
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.boss = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def host(self) -> str:
        """`127.0.0.1:port`, as BOSSDB_HOST takes it; the protocol is http."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def fail(self, *faults: Fault, forever: Fault | None = None, metadata: bool = False) -> None:
        """Spoil the next cutouts (or metadata requests), one fault each, then all of them with `forever`."""
        self._faults[metadata].clear()
        self._faults[metadata].extend(faults)
        self._forever[metadata] = forever

    def next_fault(self, metadata: bool) -> Fault | None:
        """The fault of the request that has just arrived."""
        try:
            return self._faults[metadata].popleft()
        except IndexError:
            return self._forever[metadata]

    def cutout(self, channel: str, box: Roi) -> Voxels:
        """The voxels of a box, 0 outside the channel."""
        data = self.channels[channel]
        voxels = np.zeros(box.shape, data.dtype)
        inside = box.intersection(Roi.at((0, 0, 0), data.shape))
        if inside is not None:
            voxels[inside.slices_within(box)] = data[inside.slices]
        return voxels

    def describe(self, path: str) -> dict[str, Any] | None:
        """The metadata behind a path, None where there are none."""
        if match := _CHANNEL.fullmatch(path):
            return self._describe_channel("/".join(match.groups()))
        if match := _EXPERIMENT.fullmatch(path):
            return self._describe_experiment(*match.groups())
        if match := _COLLECTION.fullmatch(path):
            return {"name": match[1], "description": "", "creator": "tests"}
        if match := _FRAME.fullmatch(path):
            return self._describe_frame(*match.groups())
        return None

    def _shapes(self, collection: str, experiment: str) -> list[Sequence[int]]:
        prefix = f"{collection}/{experiment}/"
        return [array.shape for name, array in self.channels.items() if name.startswith(prefix)]

    def _describe_channel(self, channel: str) -> dict[str, Any] | None:
        if channel not in self.channels:
            return None
        return {
            "name": channel.rpartition("/")[2],
            "description": "",
            "creator": "tests",
            "default_time_sample": 0,
            "datatype": str(self.channels[channel].dtype),
            "base_resolution": 0,
            "type": "image",
            "sources": [],
            "related": [],
            "downsample_status": "NOT_DOWNSAMPLED",
            "public": True,
        }

    def _describe_experiment(self, collection: str, experiment: str) -> dict[str, Any] | None:
        if not self._shapes(collection, experiment):
            return None
        return {
            "name": experiment,
            "description": "",
            "creator": "tests",
            "coord_frame": f"frame.{collection}.{experiment}",
            "num_hierarchy_levels": 1,
            "hierarchy_method": "isotropic",
            "num_time_samples": 1,
            "time_step": 0,
            "time_step_unit": "",
        }

    def _describe_frame(self, collection: str, experiment: str) -> dict[str, Any] | None:
        shapes = self._shapes(collection, experiment)
        if not shapes:
            return None
        depth, height, width = shapes[0]
        frame: dict[str, Any] = {"name": f"frame.{collection}.{experiment}", "description": ""}
        for axis, start, stop in zip("zyx", self.starts, (depth, height, width), strict=True):
            frame |= {f"{axis}_start": start, f"{axis}_stop": stop, f"{axis}_voxel_size": 1.17}
        return frame | {"voxel_unit": "micrometers"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    boss: BossServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: with Nagle's algorithm the second would wait for a delayed ACK.
    disable_nagle_algorithm = True

    @property
    def boss(self) -> BossServer:
        return cast(_Server, self.server).boss

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.boss.requests.append(self.path)
        path = self.path.partition("?")[0]
        match = _CUTOUT.fullmatch(path)
        box = _box_of(match) if match else None
        if match and box:
            self.boss.boxes.append((match[1], box))
        time.sleep(self.boss.latency_s)
        fault = self.boss.next_fault(metadata=match is None)
        if fault is not None and self._spoil(fault, box):
            return
        if self.headers["Authorization"] != f"Token {self.boss.token}":
            # A careless service may echo what it was sent.
            self._problem(401, f"Invalid token: {self.headers['Authorization']}")
        elif match and box and match[1] in self.boss.channels:
            self._answer(200, "application/blosc", _packed(self.boss.cutout(match[1], box)), cut=fault == "cut")
        elif (found := self.boss.describe(path)) is not None:
            self._answer(200, "application/json", json.dumps(found).encode(), cut=fault == "cut")
        else:
            self._problem(404, "not found")

    def _spoil(self, fault: Fault, box: Roi | None) -> bool:
        """Answer in the way of `fault`; False where the true answer is still to be sent."""
        if fault.isdigit():
            self._problem(int(fault), f"scripted; you sent {self.headers['Authorization']}", {"Retry-After": "0.3"})
        elif fault == "429-long":
            self._problem(429, "scripted", {"Retry-After": "7200"})
        elif fault == "stall":
            self.boss.closing.wait(self.boss.stall_s)
            self.close_connection = True
        elif fault == "drip":
            self._drip()
        elif fault == "garbage":
            self._answer(200, "application/blosc", b"\x02\x01\x11\x01<html>this is no volume</html>")
        elif fault in _FOREIGN:
            headers, body = _FOREIGN[fault]
            self._answer(200, "application/json", body, headers)
        elif fault == "long":
            self.send_response(200)
            self.send_header("Content-Length", str(2**40))
            self.end_headers()
            self.close_connection = True
        elif fault == "endless":
            self._flood()
        elif fault == "empty":
            self._answer(200, "application/blosc", b"")
        elif fault == "shape" and box is not None:
            depth, height, width = box.shape
            self._answer(200, "application/blosc", _packed(np.ones((depth, height, width + 1), np.uint8)))
        elif fault == "reset":
            self._reset()
        else:
            return False
        return True

    def _drip(self) -> None:
        """A byte now and then, so that no single wait is long."""
        self.send_response(200)
        self.send_header("Content-Length", "10000")
        self.end_headers()
        self.close_connection = True
        give_up = time.monotonic() + self.boss.stall_s
        while time.monotonic() < give_up and not self.boss.closing.wait(0.02):
            self.wfile.write(b"\0")

    def _flood(self) -> None:
        """As much as is taken, without saying how much."""
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        give_up = time.monotonic() + self.boss.stall_s
        with contextlib.suppress(OSError):
            while time.monotonic() < give_up and not self.boss.closing.is_set():
                self.wfile.write(bytes(2**20))

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()
        self.close_connection = True

    def _problem(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self._answer(status, "application/json", json.dumps({"detail": detail}).encode(), headers)

    def _answer(
        self,
        status: int,
        kind: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut


def _box_of(match: re.Match[str]) -> Roi:
    x0, x1, y0, y1, z0, z1 = map(int, match.groups()[1:])
    return Roi((z0, z1), (y0, y1), (x0, x1))


def _packed(voxels: Voxels) -> bytes:
    return cast(bytes, blosc.compress(voxels.tobytes(), typesize=voxels.dtype.itemsize))
