from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.s3_server import S3Server
    from tests.workers import Workers

# Before anything imports torch: small tensors on many threads are slow, and slower still beside the workers of a test.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test is judged by the clock: the machines that run them are shared.
settings.register_profile("mtneuro", deadline=None)
settings.load_profile("mtneuro")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell pytest-xdist which tests stay in one process: those that share a cluster, a pool of workers, or a file."""
    for item in items:
        if item.get_closest_marker("ray"):
            group = "ray"
        elif "workers" in getattr(item, "fixturenames", ()):
            group = "workers"
        else:
            group = item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def running_s3() -> Iterator[S3Server]:
    # Slow to import, and most tests have no bucket.
    from tests.s3_server import ENVIRONMENT, S3Server

    with pytest.MonkeyPatch.context() as patch, S3Server() as server:
        for name in list(os.environ):
            if name.startswith("AWS_"):
                patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def s3(running_s3: S3Server) -> Iterator[S3Server]:
    """A server that speaks S3, without faults, and credentials for it."""
    running_s3.requests.clear()
    yield running_s3
    running_s3.fault = lambda method, path: None
    running_s3.start()


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """The address of a folder in a bucket of this test's own."""
    return s3.address(s3.new_bucket())


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder on this machine, and one in a bucket: what a test says holds for both."""
    return str(request.getfixturevalue("bucket")) if request.param == "bucket" else str(tmp_path / "out")


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Two processes joined by torch.distributed. They are started once: that takes seconds."""
    from tests.workers import Workers

    pool = Workers(tmp_path_factory.mktemp("workers"))
    yield pool
    pool.close()
