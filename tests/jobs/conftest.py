"""One head node for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ray_cluster import PrivateHead, private_head


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateHead]:
    with private_head(tmp_path_factory.mktemp("head")) as head:
        yield head
