"""A Feast online store over the rows that Sentinel writes, so that Feast's own retrieval reads the same values.

Unlike Feast's stores it keeps microseconds, lets no older row win, and takes an expired row for missing. It holds
views of int64 features whose last says when the row became knowable, as sentinel.features defines them.
"""

# Feast carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUntypedBaseClass=false

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from pydantic import StrictStr

from sentinel.config import load_config
from sentinel.features.online.rows import Key, OnlineRow, OnlineRows
from sentinel.features.online.store import open_rows
from sentinel.features.spec import microseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class LatestOnlineStoreConfig(FeastConfigBaseModel):
    """`redis_url`: where it is empty or an unset $VARIABLE, that of the TOML `configuration`, else SQLite at `path`."""

    type: StrictStr = "sentinel.features.online.feast_store.LatestOnlineStore"
    name: StrictStr = "default"  # of the data set: what Redis keys begin with
    path: StrictStr
    redis_url: StrictStr | None = None
    configuration: StrictStr | None = None


class LatestOnlineStore(OnlineStore):
    _versioned_read_supported = False  # Feast's versions of one view; ours have names of their own

    def __init__(self) -> None:
        self._rows: OnlineRows | None = None
        self._one_at_a_time = threading.RLock()

    def online_write_batch(
        self,
        config: Any,
        table: Any,
        data: list[tuple[Any, dict[str, Any], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        features = _aggregates(table)
        rows = [
            OnlineRow(
                _key(table, entity),
                _microseconds_since_1970(moment),
                tuple(_integer(values[name]) for name in features),
            )
            for entity, values, moment, _ in data
        ]
        with self._one_at_a_time:
            self._open(config).write(table.name, rows)
        if progress:
            progress(len(rows))

    def online_read(
        self, config: Any, table: Any, entity_keys: list[Any], requested_features: list[str] | None = None
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """As of now: a row that is older than the view's ttl, or not knowable yet, reads as missing."""
        with self._one_at_a_time:
            found = self._open(config).read([(table.name, _key(table, entity)) for entity in entity_keys])
        now_us = time.time_ns() // 1000
        ttl_us = microseconds(table.ttl) if table.ttl else now_us
        return [
            _answer(table, row, requested_features) if row and 0 <= now_us - row.known_at_us <= ttl_us else (None, None)
            for row in found
        ]

    def update(
        self,
        config: Any,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Rows need no preparation, and those of a version that is no longer registered stay for a rollback."""

    def teardown(self, config: Any, tables: Sequence[Any], entities: Sequence[Any]) -> None:
        """Rows stay here too: whoever wants them gone deletes the SQLite file or flushes the Redis database."""

    def _open(self, config: Any) -> OnlineRows:
        if self._rows is None:
            settings: LatestOnlineStoreConfig = config.online_store
            repository = Path(config.repo_path or ".")
            url = settings.redis_url if settings.redis_url and not settings.redis_url.startswith("$") else None
            if url is None and settings.configuration:
                url = load_config(repository / settings.configuration).services.redis_url
            self._rows = open_rows(settings.name, repository / settings.path, url)
        return self._rows


def _key(table: Any, entity: Any) -> Key:
    """In the view's order, whatever that of the question."""
    values = {
        name: getattr(value, value.WhichOneof("val"))
        for name, value in zip(entity.join_keys, entity.entity_values, strict=True)
    }
    return tuple(values[name] for name in table.join_keys)


def _aggregates(table: Any) -> list[str]:
    """All features but the last, the row's knowable moment, which is kept as such."""
    return [feature.name for feature in table.features][:-1]


def _integer(value: Any) -> int | None:
    kind = value.WhichOneof("val")
    if kind not in (None, "int64_val", "null_val"):
        raise TypeError(f"this online store holds int64 features, not {kind}")
    return value.int64_val if kind == "int64_val" else None


def _answer(table: Any, row: OnlineRow, requested: list[str] | None) -> tuple[datetime, dict[str, Any]]:
    names = [feature.name for feature in table.features]
    values = dict(zip(names, (*row.values, row.known_at_us), strict=True))
    asked = names if requested is None else [name for name in requested if name in values]
    held = {name: _value(values[name]) for name in asked}
    return _EPOCH + row.known_at_us * _MICROSECOND, held


def _value(stored: int | None) -> Any:
    return Value() if stored is None else Value(int64_val=stored)


def _microseconds_since_1970(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND
