"""Small tables in the contract's columns, as ingestion writes them, for any test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

START = datetime(2026, 1, 1, tzinfo=UTC)
COUNTRIES = ("DE", "FR", "GB", "NL", "US")
CHANNELS = ("chip", "contactless", "online")
TIMESTAMP = pa.timestamp("us", "UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_SECOND = 1_000_000


def canonical_table(
    rows: int = 2000,
    seed: int = 0,
    *,
    days: int = 90,
    customers: int = 60,
    merchants: int = 40,
    fraud_rate: float = 0.03,
    label_delay: timedelta = timedelta(days=5),
    string_ids: bool = False,
    with_merchant: bool = True,
    with_label_time: bool = True,
    with_recorded_at: bool = False,
    with_declared: bool = True,
) -> pa.Table:
    """Transactions of `days` days from START, sorted by time; frauds are large, online and at few merchants.

    Labels that would arrive after the end are null, `label_delay` being the longest delay. `with_declared` adds
    numeric `distance_km` and categorical `country` (both with some nulls) and `channel`. `with_recorded_at` adds
    arrivals some seconds after the event. `string_ids` makes every id a string.
    """
    random = np.random.default_rng(seed)
    start, end = (START - _EPOCH) // _US, (START + timedelta(days=days) - _EPOCH) // _US
    event = np.sort(start + random.integers(0, days * 86_400, rows) * _SECOND)
    merchant = random.integers(0, merchants, rows)
    fraud = random.random(rows) < fraud_rate
    merchant[fraud] = random.integers(0, max(1, merchants // 8), int(fraud.sum()))
    amount = np.maximum(1, (random.lognormal(3.2, 0.8, rows) * np.where(fraud, 400, 100)).astype(np.int64))
    known = event + np.maximum(1, random.random(rows) * (label_delay // _US)).astype(np.int64)
    unknown = known > end
    columns: dict[str, pa.Array] = {
        "transaction_id": _ids(np.arange(rows), "T", string_ids),
        "event_timestamp": pa.array(event, TIMESTAMP),
    }
    if with_recorded_at:
        columns["recorded_at"] = pa.array(event + random.integers(1, 120, rows) * _SECOND, TIMESTAMP)
    columns["customer_id"] = _ids(random.integers(0, customers, rows), "C", string_ids)
    if with_merchant:
        columns["merchant_id"] = _ids(merchant, "M", string_ids)
    columns["amount_minor"] = pa.array(amount)
    columns["is_fraud"] = pa.array(fraud, mask=unknown)
    if with_label_time:
        columns["label_available_at"] = pa.array(known, TIMESTAMP, mask=unknown)
    if with_declared:
        columns |= _declared(random, fraud)
    return pa.table(columns)


def _ids(numbers: np.ndarray, letter: str, string_ids: bool) -> pa.Array:
    return pa.array([f"{letter}{number:06d}" for number in numbers] if string_ids else numbers.astype(np.int64))


def _declared(random: np.random.Generator, fraud: np.ndarray) -> dict[str, pa.Array]:
    rows = len(fraud)
    distance = random.exponential(np.where(fraud, 60.0, 12.0))
    country = np.asarray(COUNTRIES)[random.integers(0, len(COUNTRIES), rows)]
    channel = np.where(fraud & (random.random(rows) < 0.8), 2, random.integers(0, len(CHANNELS), rows))
    return {
        "distance_km": pa.array(distance, mask=random.random(rows) < 0.05),
        "country": pa.array(country, pa.string(), mask=random.random(rows) < 0.02),
        "channel": pa.array(np.asarray(CHANNELS)[channel], pa.string()),
    }
