from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest

from mtneuro_ray.cluster.connect import connected


@pytest.fixture(scope="package")
def cluster() -> Iterator[None]:
    """A Ray cluster of this test run alone, with two CPUs."""
    # Ray's sockets lie below it, and their paths may not be long.
    folder = tempfile.mkdtemp(prefix="mtneuro-", dir="/tmp")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("RAY_ADDRESS", raising=False)
            patch.setenv("RAY_TMPDIR", folder)
            with connected("local", num_cpus=2):
                yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
