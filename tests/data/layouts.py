"""Tables as they are laid out elsewhere, with what is hard to guess about each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

DAY = 86_400
Columns = dict[str, object]


def bank(rows: int = 4000, days: int = 120, rate: float = 0.03) -> Columns:
    """Plain names, typed times, words for labels with a moment each."""
    random, fraud, seconds = _base(rows, days, rate)
    known = seconds + random.integers(0, 5 * DAY, rows)
    return {
        "transaction_id": np.arange(rows),
        "event_time": _moments(seconds),
        "customer_id": random.integers(0, 90, rows),
        "merchant_id": random.integers(0, 50, rows),
        "amount": _amounts(random, fraud),
        "country": random.choice(["DE", "FR", "N/A"], rows, p=[0.6, 0.38, 0.02]),
        "label": np.where(random.random(rows) < 0.03, "unknown", np.where(fraud, "fraud", "genuine")),
        "label_available_at": _moments(known),
        "fraud_kind": np.where(fraud, "stolen", None),
        "day_number": seconds // DAY,
        "note": pa.nulls(rows, pa.string()),
        "bank": ["us"] * rows,
    }


def paysim(rows: int = 4000) -> Columns:
    """Steps instead of times, no id, balances after the fact, a rule's flag beside the label."""
    random, fraud, seconds = _base(rows, 30, 0.02)
    old = np.round(random.exponential(1e5, rows), 2)
    return {
        "step": seconds // 3600 + 1,
        "type": random.choice(["CASH_IN", "CASH_OUT", "TRANSFER"], rows),
        "amount": _amounts(random, fraud) * 100,
        "nameOrig": [f"C{number:09d}" for number in random.integers(0, 300, rows)],
        "oldbalanceOrg": old,
        "newbalanceOrig": np.round(old * random.random(rows), 2),
        "nameDest": [f"M{number:09d}" for number in random.integers(0, 200, rows)],
        "isFraud": fraud.astype(int),
        "isFlaggedFraud": (fraud & (random.random(rows) < 0.05)).astype(int),
    }


def ieee(rows: int = 4000) -> Columns:
    """Seconds since some day, cards in parts, many missing values."""
    random, fraud, seconds = _base(rows, 180, 0.035)
    return {
        "TransactionID": 2_987_000 + np.arange(rows),
        "isFraud": fraud.astype(int),
        "TransactionDT": seconds + DAY,
        "TransactionAmt": _amounts(random, fraud),
        "ProductCD": random.choice(list("WCH"), rows),
        "card1": random.integers(1000, 1300, rows),
        "card2": pa.array(random.integers(100, 600, rows).astype(float), mask=random.random(rows) < 0.02),
        "dist1": pa.array(random.exponential(50, rows).round(), mask=random.random(rows) < 0.6),
        "DeviceType": pa.array(random.choice(["desktop", "mobile"], rows), mask=random.random(rows) < 0.7),
    }


def europe(rows: int = 3000) -> Columns:
    random, fraud, seconds = _base(rows, 120, 0.02)
    start = datetime(2025, 1, 1)
    return {
        "Transaktionsnummer": [f"T{number:07d}" for number in random.permutation(rows)],
        "Zeitpunkt": [f"{start + timedelta(seconds=int(second)):%d.%m.%Y %H:%M:%S}" for second in seconds],
        "Kundennummer": [f"K-{number:05d}" for number in random.integers(0, 100, rows)],
        "Händler": [f"Laden {number}" for number in random.integers(0, 60, rows)],
        "Betrag": [f"{_german(amount)} €" for amount in _amounts(random, fraud) * 20],
        "Betrug": np.where(fraud, "Ja", np.where(random.random(rows) < 0.05, "unbekannt", "Nein")),
    }


def anonymous(rows: int = 3000) -> Columns:
    """Neither id nor customer: principal components, seconds, amount and class."""
    random, fraud, seconds = _base(rows, 2, 0.01)
    components = {f"V{number}": random.normal(size=rows) for number in range(1, 4)}
    return {"Time": seconds.astype(float), **components, "Amount": _amounts(random, fraud), "Class": fraud.astype(int)}


def as_csv(table: Columns, path: Path, separator: str = ",") -> Path:
    arrow_csv.write_csv(pa.table(table), path, arrow_csv.WriteOptions(delimiter=separator))
    return path


def as_parquet(table: Columns, path: Path) -> Path:
    pq.write_table(pa.table(table), path)
    return path


def _base(rows: int, days: int, rate: float) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    return random, random.random(rows) < rate, np.sort(random.integers(0, days * DAY, rows))


def _moments(seconds: np.ndarray) -> pa.Array:
    start = int(datetime(2025, 1, 1).timestamp()) // DAY * DAY
    return pa.array((start + seconds) * 1_000_000, pa.timestamp("us", "UTC"))


def _amounts(random: np.random.Generator, fraud: np.ndarray) -> np.ndarray:
    return np.round(random.lognormal(3.5, 1.2, len(fraud)) * np.where(fraud, 4, 1), 2)


def _german(number: float) -> str:
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


LAYOUTS: dict[str, Callable[[], Columns]] = {
    "bank": bank, "paysim": paysim, "ieee": ieee, "europe": europe, "anonymous": anonymous
}  # fmt: skip
