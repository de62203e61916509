"""Projects whose past is online and whose last days are events."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.features.online.stream.project import StreamProject
from tests.tables import START, canonical_table

DAYS = 40


def small_bank(rows: int = 3000) -> list[dict[str, Any]]:
    """Ten customers and eight merchants, so that most windows hold several events."""
    table = canonical_table(rows, seed=3, days=DAYS, customers=10, merchants=8, with_declared=False)
    return table.to_pylist()


@pytest.fixture
def streaming(tmp_path: Path, store_url: str | None) -> StreamProject:
    """The last three days stream, into each of the stores."""
    return StreamProject.make(tmp_path, small_bank(), START + timedelta(days=DAYS - 3), store_url)


@pytest.fixture
def embedded(tmp_path: Path) -> StreamProject:
    """The same, into the embedded store alone."""
    return StreamProject.make(tmp_path, small_bank(), START + timedelta(days=DAYS - 3), None)


@pytest.fixture
def on_redis(tmp_path: Path, redis_url: str) -> StreamProject:
    return StreamProject.make(tmp_path, small_bank(), START + timedelta(days=DAYS - 3), redis_url)
