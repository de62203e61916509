"""A feature set in the project's vocabulary, and raw rows of it that stand in for a built table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
WINDOWS = {"1d": DAY_US, "7d": 7 * DAY_US}
START_US = 1_767_225_600_000_000  # 2026-01-01, a Thursday
STATISTICS = {
    "spending": ("count", "amount_sum", "amount_sum_of_squares", "amount_max"),
    "labels": ("label_count", "fraud_count"),
}
PAIR = ("customer_merchant", "spending")


def feature_set(*, categorical: tuple[str, ...] = ("channel",)) -> dict[str, Any]:
    asked = [
        *(
            (entity, kind, name)
            for entity in ("customer", "merchant")
            for kind in STATISTICS
            for name in STATISTICS[kind]
        ),
        ("customer", "spending", "distinct_merchants"),
        (*PAIR, "count"),
    ]
    aggregates = [
        {
            "name": f"{entity}_{statistic}_{name}", "entity": entity, "kind": kind, "statistic": statistic,
            "window_us": window, "view": f"{entity}_{kind}",
        }
        for entity, kind, statistic in asked
        for name, window in WINDOWS.items()
    ]  # fmt: skip
    ages = [
        {
            "name": f"{entity}_{kind}_age_us", "view": f"{entity}_{kind}", "entity": entity, "kind": kind,
            "keys": [f"{part}_id" for part in entity.split("_")],
        }
        for entity, kind in dict.fromkeys((entity, kind) for entity, kind, _ in asked)
    ]  # fmt: skip
    return {
        "hash": "h", "aggregates": aggregates, "ages": ages, "numeric": ["distance_km"],
        "categorical": list(categorical), "slices": ["fraud_kind"],
    }  # fmt: skip


def features_table(rows: int = 4000, days: int = 90, seed: int = 0, fraud_rate: float = 0.05) -> pa.Table:
    """features.parquet's columns; frauds have large amounts at merchants with known frauds."""
    random = np.random.default_rng(seed)
    time = np.sort(START_US + random.integers(0, days * DAY_US, rows))
    fraud = random.random(rows) < fraud_rate
    amount = np.maximum(1, random.lognormal(7, 0.7, rows) * np.where(fraud, 3, 1)).astype(np.int64)
    columns: dict[str, pa.Array] = {
        "transaction_id": pa.array(np.arange(rows)),
        "event_timestamp": pa.array(time, pa.timestamp("us", "UTC")),
        "customer_id": pa.array(random.integers(0, 80, rows)),
        "amount_minor": pa.array(amount),
        "is_fraud": pa.array(fraud),
        "distance_km": pa.array(random.normal(0, 20, rows), mask=random.random(rows) < 0.05),
        "channel": pa.array(np.array(["chip", "online"])[(random.random(rows) < 0.3 + 0.5 * fraud).astype(int)]),
        "fraud_kind": pa.array(np.where(fraud, "large", None).tolist(), pa.string()),
    }
    for entity in ("customer", "merchant"):
        unseen = random.random(rows) < 0.03
        columns |= _aggregates(random, entity, fraud, unseen)
    first_met = random.random(rows) < 0.6
    for name, scale in (("1d", 0.2), ("7d", 1)):
        met = random.poisson(scale, rows) + 1
        columns[f"customer_distinct_merchants_{name}"] = pa.array(met)
        columns[f"customer_merchant_count_{name}"] = pa.array(met, mask=first_met)
    columns["customer_merchant_spending_age_us"] = pa.array(
        random.integers(1_000_000, 5 * DAY_US, rows), mask=first_met
    )
    return pa.table(columns)


def _aggregates(random: np.random.Generator, entity: str, fraud: np.ndarray, unseen: np.ndarray) -> dict[str, pa.Array]:
    found: dict[str, pa.Array] = {}
    for name, scale in (("1d", 2), ("7d", 12)):
        count = random.poisson(scale, len(fraud)) + 1
        amounts = random.lognormal(7, 0.3, len(fraud))
        values = {
            "count": count,
            "amount_sum": count * amounts,
            "amount_sum_of_squares": count * amounts**2 * 1.1,
            "amount_max": amounts * 1.4,
            "label_count": count,
            "fraud_count": np.minimum(count, random.poisson(0.1 + 1.5 * fraud * (entity == "merchant"))),
        }
        found |= {
            f"{entity}_{statistic}_{name}": pa.array(value.astype(np.int64), mask=unseen)
            for statistic, value in values.items()
        }
    for kind in STATISTICS:
        age = random.integers(1_000_000, 5 * DAY_US, len(fraud))
        found[f"{entity}_{kind}_age_us"] = pa.array(age, mask=unseen)
    return found
