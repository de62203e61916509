"""The two online stores, each real and empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from sentinel.features.online.rows import OnlineRows
from sentinel.features.online.store import open_online
from sentinel.paths import Paths
from tests.redis_server import redis_server


@pytest.fixture(scope="session")
def _redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_url(_redis_address: str) -> str:
    """The address of a Redis that holds nothing."""
    with redis.Redis.from_url(_redis_address) as client:
        client.flushall()
        client.config_resetstat()
    return _redis_address


@pytest.fixture(params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    """The setting that chooses the store: None for the embedded one."""
    return request.getfixturevalue("redis_url") if request.param == "redis" else None


@pytest.fixture
def rows(tmp_path: Path, store_url: str | None) -> Iterator[OnlineRows]:
    with closing(open_online(Paths(tmp_path / "root", tmp_path / "home"), "tiny", store_url)) as opened:
        yield opened
