"""Joining the cluster that a command should run on, or starting one on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from mtneuro_ray.errors import MTNeuroError


@contextmanager
def connected(address: str | None = None, num_cpus: int | None = None) -> Iterator[None]:
    """Run the body on a Ray cluster.

    Args:
        address: Of a running cluster; by default RAY_ADDRESS, which `ray job submit` sets, and without that a
            cluster of this machine alone, which ends with the body.
        num_cpus: CPUs of a cluster started here; all by default.

    Raises:
        MTNeuroError: the cluster can't be reached.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    # Ray's own lines would bury ours.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    starts_here = address == "local"
    try:
        ray.init(
            address=address,
            num_cpus=num_cpus if starts_here else None,
            include_dashboard=False if starts_here else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise MTNeuroError(
            f"Ray cluster {address}: can't be joined: {reason}; accepted: --address of a running cluster, and its "
            "token in RAY_AUTH_TOKEN with RAY_AUTH_MODE=token"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
