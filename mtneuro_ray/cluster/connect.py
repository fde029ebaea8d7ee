"""Joining the cluster that a command should run on, or starting one on this machine."""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import ray

from mtneuro_ray.errors import InputError, MTNeuroError
from mtneuro_ray.progress import working

_TOKEN_ACCEPTED = (
    "accepted: RAY_AUTH_MODE=token with the cluster's token in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH "
    "names, or in ~/.ray/auth_token"
)
_SECONDS_TO_ANSWER = 10.0
# The path of a socket has at most 103 characters on some systems; Ray takes 65 below its folder.
_LONGEST_FOLDER = 38


@contextmanager
def connected(
    address: str | None = None,
    num_cpus: int | None = None,
    needs: Mapping[str, float] | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[None]:
    """Run the body on a Ray cluster.

    Args:
        address: HOST:PORT of a running cluster that this machine is part of, `auto` to find it, or `local`; by default
            RAY_ADDRESS, which `ray job submit` sets, and without that `local`: a cluster of this machine alone, which
            ends with the body and which nobody else joins.
        num_cpus: CPUs of a cluster started here; all by default.
        needs: CPU and GPU that the body takes at least. A cluster started here can't grow, and whoever asks for more
            of it would wait forever.
        meanwhile: Begins work in other threads that needs no cluster; called after the first checks, right before a
            cluster is joined or started, which takes seconds.

    Raises:
        InputError: the address has no meaning here, or this machine has less than is needed.
        MTNeuroError: the cluster can't be reached, or refuses the token.
    """
    if ray.is_initialized():
        # The process is on a cluster already, which whoever joined it will leave.
        meanwhile()
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _quiet()
    if address == "local":
        _check_gpu(needs or {})
        _ensure_token()
        meanwhile()
        with working("starting Ray on this machine"):
            _init(address, num_cpus=num_cpus, include_dashboard=False, _temp_dir=private_folder())
        _check_room(needs or {})
    else:
        if address != "auto":
            _check_reachable(address)
        meanwhile()
        with working(f"joining the Ray cluster {address}"):
            _init(address)
    try:
        yield
    finally:
        ray.shutdown()


def _check_gpu(needs: Mapping[str, float]) -> None:
    """Check the GPU before a cluster is started for it, which takes seconds."""
    if needs.get("GPU", 0) > 0:
        # Slow to import, and only needed here.
        import torch

        if not torch.cuda.is_available():
            raise _short_of("GPU", needs["GPU"], 0)


def _check_room(needs: Mapping[str, float]) -> None:
    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for kind, needed in needs.items():
        if needed > has.get(kind, 0):
            ray.shutdown()
            raise _short_of(kind, needed, has.get(kind, 0))


def _short_of(kind: str, needed: float, has: float) -> InputError:
    return InputError(
        f"Ray on this machine: {needed:g} {kind} are needed, it has {has:g}; accepted: fewer or smaller workers, or "
        "--address of a larger cluster"
    )


def _quiet() -> None:
    """Keep Ray's own lines from burying ours; they are all in its log files."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")


def _init(address: str, **options: Any) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except Exception as error:
        # Of any type: a node that is not up within 30 s is a plain Exception.
        reason = " ".join(str(error).split()) or type(error).__name__
        if address == "local":
            raise MTNeuroError(
                f"Ray on this machine: does not start: {reason}; accepted: the same command again, on a machine with "
                "free processors and memory"
            ) from None
        raise MTNeuroError(f"Ray cluster {address}: can't be joined: {reason}; accepted: a running cluster") from None
    if callable(handler) and threading.current_thread() is threading.main_thread():
        # Ray has put its own in its place, which ends in a native stack trace.
        signal.signal(signal.SIGTERM, handler)


def private_folder() -> str:
    """The folder of this user's Ray sessions and logs on this machine, which nobody else reads or writes.

    Ray unpickles files of its sessions, and opens its folder to everybody, so there is one around it.
    """
    name = f"mtneuro-{os.getuid()}"
    bases = [os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "/tmp"]
    base = next((base for base in bases if len(f"{base}/{name}/ray") <= _LONGEST_FOLDER), bases[-1])
    folder = Path(base, name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        # Somebody else's, who knew its name, or opened by hand.
        folder = Path(tempfile.mkdtemp(prefix="mtneuro-", dir=base))
    return str(folder / "ray")


def _ensure_token() -> None:
    """Give a cluster of this process alone a token; left to itself, Ray writes one into the user's home."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() == "token" and _token() is None:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _token() -> str | None:
    """The token that Ray would use."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    try:
        token = (Path(named) if named else Path.home() / ".ray" / "auth_token").read_text().strip()
    except OSError as error:
        if named:
            # Ray would end the process without a word that a person understands.
            raise MTNeuroError(f"RAY_AUTH_TOKEN_PATH: {named}: {error.strerror}; {_TOKEN_ACCEPTED}") from None
        return None
    return token or None


def _check_reachable(address: str) -> None:
    """Ask the cluster for a sign of life, with the token.

    Ray itself takes 20 s and as many lines of its own to say that a token is wrong, and two minutes to say that there
    is nobody.
    """
    if not re.fullmatch(r"[^/\s]+:\d+", address):
        raise InputError(
            f"Ray address: {address!r} is not HOST:PORT; accepted: HOST:PORT on a machine of the cluster, auto, local; "
            "from elsewhere, `ray job submit --address URL`"
        )
    token = _token() if os.environ.get("RAY_AUTH_MODE", "").lower() == "token" else None
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")
        try:
            ask(b"", timeout=_SECONDS_TO_ANSWER, metadata=[("authorization", f"Bearer {token}")] if token else None)
        except grpc.RpcError as error:
            _explain(address, error.code(), token)


def _explain(address: str, code: grpc.StatusCode, token: str | None) -> None:
    if code is grpc.StatusCode.UNAUTHENTICATED:
        problem = "refuses this token" if token else "requires a token, and there is none"
        raise MTNeuroError(f"Ray cluster {address}: {problem}; {_TOKEN_ACCEPTED}")
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise MTNeuroError(
            f"Ray cluster {address}: does not answer; accepted: the address that `ray start --head` has printed, in "
            "--address or RAY_ADDRESS, or neither to run on this machine alone"
        )
    # Whatever else it says, Ray knows better how to talk to it.
