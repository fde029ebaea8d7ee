"""Volumes of BossDB, read with the `intern` client: one connection a thread, time limits, retries.

`intern` sets no time limit, never retries, raises errors that hold the token, and with more than 60 M voxels forks
worker processes even with `parallel=False`; this module handles each of these.

BossDB sends no checksum, so wrong voxels in an answer of the right size are not detected. The checksums of the store
protect voxels from their arrival on; `ingest --verify` reads a sample again in other boxes and compares.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import requests
import urllib3
from intern.remote.boss import BossRemote
from intern.resource.boss.resource import ChannelResource, CoordinateFrameResource, ExperimentResource

from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.retry import LONGEST_PAUSE_S, TransientError, persist
from mtneuro_ray.roi import Roi, Shape
from mtneuro_ray.volumes.http_reads import AnswerLimits, describe_network_error, parse_retry_after
from mtneuro_ray.volumes.source import Micrometers, VolumeSource, Voxels

MOST_VOXELS_A_REQUEST = 16_000_000
# Fewer than for voxels: a user waits while a volume is opened, and BossDB may not be reachable at all.
OPENING_ATTEMPTS = 3
CONNECT_TIMEOUT_S = 10.0
PHANTOM_HINT = "use --volume phantom for the built-in volume"

_URI = re.compile(r"bossdb://([\w.-]+)/([\w.-]+)/([\w.-]+)", re.ASCII)
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[\da-fA-F:]+\](:\d+)?", re.ASCII)
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.ASCII)
_MICROMETERS = {"nanometers": 1e-3, "micrometers": 1.0, "millimeters": 1e3, "centimeters": 1e4}
_TOKEN = re.compile(r"[!-~]+")
_T = TypeVar("_T")


@dataclass(frozen=True)
class BossSettings:
    """Server and access settings of BossDB.

    Attributes:
        host: Name or name:port, without a protocol.
        protocol: `https`, or `http` to this machine only: plain http shows the token to the network.
        token: Never shown. `public` reads public data.
        timeout_s: Seconds until an answer begins, and seconds that it may take in addition to its length; at most
            10 of them for the connection.
        attempts: Largest number of tries of one request.
        backoff_s: Scale of the first pause between two attempts, in seconds; it doubles with each further one.

    Raises:
        InputError: a value is out of range or malformed.
    """

    host: str = "api.bossdb.io"
    protocol: str = "https"
    token: str = field(default="public", repr=False)
    timeout_s: float = 60.0
    attempts: int = 6
    backoff_s: float = 1.0

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise InputError(f"BOSSDB_HOST: {self.host!r} is no host; accepted: NAME or NAME:PORT, no protocol")
        if self.protocol not in ("http", "https"):
            raise InputError(f"BOSSDB_PROTOCOL: {self.protocol!r}; accepted: http, https")
        if self.protocol == "http" and not _LOOPBACK.fullmatch(self.host):
            raise InputError(
                f"BOSSDB_PROTOCOL: http to {self.host} would send the token and voxels unprotected; accepted: https, "
                "or http to localhost"
            )
        # A header that `requests` refuses is quoted in its error: such a token must never get that far.
        if not _TOKEN.fullmatch(self.token):
            raise InputError("BOSSDB_TOKEN: holds blanks or characters beyond ASCII; accepted: the bare token")
        if not 0 < self.timeout_s < float("inf"):
            raise InputError(f"BOSSDB_TIMEOUT_S: {self.timeout_s}; accepted: seconds, above 0")

    @classmethod
    def from_env(cls) -> BossSettings:
        """From BOSSDB_HOST, BOSSDB_PROTOCOL, BOSSDB_TOKEN, BOSSDB_TIMEOUT_S; unset or empty ones default."""
        names = ("host", "protocol", "token", "timeout_s")
        found: dict[str, Any] = {name: os.environ.get(f"BOSSDB_{name.upper()}", "").strip() for name in names}
        timeout = found.pop("timeout_s") or str(cls.timeout_s)
        try:
            timeout_s = float(timeout)
        except ValueError:
            raise InputError(f"BOSSDB_TIMEOUT_S: {timeout!r}; accepted: seconds, above 0") from None
        return replace(cls(timeout_s=timeout_s), **{name: value for name, value in found.items() if value})


@dataclass(frozen=True)
class Channel:
    """Metadata of a channel: bounds in voxels and voxel size in micrometers along z, y, x, and type."""

    starts: Shape
    stops: Shape
    dtype: np.dtype[Any]
    voxel_size_um: Micrometers | None


class BossSource(VolumeSource):
    """A BossDB channel at its native resolution.

    A pickle holds shape, type and host, so that another process requests no metadata. It never holds the token: the
    other process takes its own from BOSSDB_TOKEN.

    Args:
        uri: `bossdb://collection/experiment/channel`.
        settings: Server and access.
        channel: Metadata, where known; requested from BossDB otherwise.

    Raises:
        InputError: the URI is malformed, there is no such channel or the token may not read it.
        SourceError: BossDB did not answer, or its answer is unusable.
    """

    parallel_reads = 8

    def __init__(self, uri: str, settings: BossSettings, channel: Channel | None = None) -> None:
        match = _URI.fullmatch(uri)
        if match is None:
            raise InputError(f"{uri}: malformed; accepted: bossdb://collection/experiment/channel")
        self.uri = uri
        self._names = match.groups()
        self._settings = settings
        self._local = threading.local()
        self._channel = channel or self._describe()
        self.shape, self.dtype = self._channel.stops, self._channel.dtype
        self.voxel_size_um = self._channel.voxel_size_um
        if self.dtype.kind != "u" or min(self.shape) < 1:
            raise InputError(f"{uri}: {self.dtype} voxels, shape {self.shape}; accepted: unsigned integers, not empty")
        depth, height, width = self.shape
        self.identity = f"{uri}@{settings.host} {depth}x{height}x{width} {self.dtype}"

    def __reduce__(self) -> tuple[Any, ...]:
        settings = replace(self._settings, token="public")
        return _restore, (self.uri, settings, self._channel)

    def _describe(self) -> Channel:
        collection, experiment, channel = self._names

        def ask(remote: BossRemote) -> Channel:
            found = remote.get_channel(channel, collection, experiment)
            frame_name = remote.get_project(ExperimentResource(experiment, collection)).coord_frame
            frame = remote.get_project(CoordinateFrameResource(frame_name))
            starts, stops = (
                (int(getattr(frame, f"z_{end}")), int(getattr(frame, f"y_{end}")), int(getattr(frame, f"x_{end}")))
                for end in ("start", "stop")
            )
            um = _MICROMETERS.get(frame.voxel_unit, 0.0)
            sizes = (um * frame.z_voxel_size, um * frame.y_voxel_size, um * frame.x_voxel_size)
            return Channel(starts, stops, np.dtype(found.datatype), sizes if min(sizes) > 0 else None)

        return self._persist(ask, "metadata", min(OPENING_ATTEMPTS, self._settings.attempts))

    def _read(self, roi: Roi) -> Voxels:
        if any(lo < start for lo, start in zip(roi.origin, self._channel.starts, strict=True)):
            raise InputError(
                f"{self.uri}: box {roi} leaves the volume; accepted: from {self._channel.starts} (z, y, x)"
            )
        voxels = np.empty(roi.shape, self.dtype)
        for slab in roi.split(_slab_shape(roi.shape)):
            voxels[slab.slices_within(roi)] = self._cutout(slab)
        return voxels

    def _cutout(self, box: Roi) -> Voxels:
        collection, experiment, channel = self._names
        resource = ChannelResource(channel, collection, experiment, datatype=str(self.dtype))

        def ask(remote: BossRemote) -> Voxels:
            self._local.limits.unfolded_bytes = box.num_voxels * self.dtype.itemsize
            z, y, x = (list(bounds) for bounds in box.ranges)
            voxels: Voxels = remote.get_cutout(resource, 0, x, y, z, parallel=False)
            if voxels.shape != box.shape or voxels.dtype != self.dtype:
                raise ValueError(f"{voxels.dtype} {voxels.shape}")
            return voxels

        return self._persist(ask, f"box {box}", self._settings.attempts)

    def _persist(self, ask: Callable[[BossRemote], _T], what: str, attempts: int) -> _T:
        failure: TransientError
        try:
            return persist(lambda: self._attempt(ask, what), f"{self.uri}: {what}", attempts, self._settings.backoff_s)
        except TransientError as error:
            failure = error
        problem = f"{self.uri}: {what} failed {attempts} times at {self._settings.host}: {failure.reason}"
        raise SourceError(f"{problem}; {PHANTOM_HINT}" if failure.unreachable else problem)

    def _attempt(self, ask: Callable[[BossRemote], _T], what: str) -> _T:
        problem: Exception
        try:
            return ask(self._remote())
        except requests.HTTPError as error:  # `intern` raises it for every status but 200
            problem = self._problem_of(error.response, what)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            problem = describe_network_error(error, self._settings.timeout_s)
        except Exception as error:  # blosc, JSON and `intern` raise nearly anything for foreign bytes
            text = f"{type(error).__name__}: {' '.join(str(error).split())}".replace(self._settings.token, "***")
            problem = TransientError(f"unusable answer ({text[:200]})")
        # Raised outside the handlers, unchained: `intern`'s errors hold the request and with it the token.
        raise problem

    def _problem_of(self, response: requests.Response | None, what: str) -> Exception:
        if response is None:
            return TransientError("no answer", unreachable=True)
        status, host = response.status_code, self._settings.host
        if status in (401, 403):
            return InputError(
                f"{self.uri}: {host} rejected the token (HTTP {status}); set BOSSDB_TOKEN, on every machine "
                "that reads, to one that may read this channel"
            )
        if status == 404:
            return InputError(f"{self.uri}: no such channel at {host} (HTTP 404)")
        pause_s = parse_retry_after(response.headers.get("Retry-After"))
        if status == 429 and pause_s > LONGEST_PAUSE_S:
            return SourceError(f"{self.uri}: {host} asks to be left alone for {pause_s:.0f} s (HTTP 429)")
        if status == 429 or status >= 500:
            return TransientError(f"HTTP {status}", min(pause_s, LONGEST_PAUSE_S))
        return SourceError(f"{self.uri}: {host} refused {what} (HTTP {status})")

    def _remote(self) -> BossRemote:
        """This thread's own connection: a `requests` session is not promised to be safe for several."""
        if not hasattr(self._local, "remote"):
            self._local.remote, self._local.limits = connect(self._settings)
        return self._local.remote


def connect(settings: BossSettings) -> tuple[BossRemote, AnswerLimits]:
    """An `intern` client with limits on every answer, and the limits on cutouts; sends no request."""
    # `intern` passes this dictionary through an INI parser, which chokes on a token with a % sign and quotes it.
    remote = BossRemote({"protocol": settings.protocol, "host": settings.host, "token": "public"})
    remote.token_project = remote.token_volume = settings.token
    timeouts_s = (min(CONNECT_TIMEOUT_S, settings.timeout_s), settings.timeout_s)
    for service in (remote.project_service, remote.volume_service):
        session: requests.Session = service.session
        # `intern` looks proxies up for no URL at all, so NO_PROXY never matches.
        options = session.merge_environment_settings(service.url_prefix, {}, None, None, None)
        # Otherwise a .netrc entry for the host would take the place of the token.
        session.trust_env = False
        limits = AnswerLimits(session, settings.timeout_s)
        service.session_send_opts = {**options, "timeout": timeouts_s}
    return remote, limits


def open_bossdb(uri: str, base: Path) -> BossSource:
    """Open `bossdb://collection/experiment/channel` with `BossSettings.from_env`; errors as of `BossSource`."""
    return BossSource(uri, BossSettings.from_env())


def _restore(uri: str, settings: BossSettings, channel: Channel) -> BossSource:
    return BossSource(uri, replace(settings, token=BossSettings.from_env().token), channel)


def _slab_shape(shape: Shape) -> Shape:
    """Shape of the largest slab of whole planes, or of whole rows of one plane, that one request may hold."""
    depth, height, width = shape
    if height * width > MOST_VOXELS_A_REQUEST:
        return (1, max(1, MOST_VOXELS_A_REQUEST // width), width)
    return (min(depth, MOST_VOXELS_A_REQUEST // (height * width)), height, width)
