"""The tables of the example configurations, made anew from a seed."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAY = 86_400
BERLIN = ZoneInfo("Europe/Berlin")


def cards(folder: Path, rows: int = 1000) -> Path:
    """A thousand rows of 60 days, every sixth a fraud."""
    random = np.random.default_rng(1)
    fraud = random.random(rows) < 0.18
    seconds = np.sort(random.integers(0, 60 * DAY, rows))
    amounts = np.round(random.lognormal(3, 0.8, rows) * np.where(fraud, 3, 1), 2)
    return _csv(
        folder / "cards.csv",
        {
            "payment": [f"P{number:05d}" for number in random.permutation(rows)],
            "second": seconds,
            "card": [f"card-{number}" for number in random.integers(0, 40, rows)],
            "amount": amounts,
            "fraudulent": np.where(fraud, "yes", "no"),
            "channel": np.where(fraud | (random.random(rows) < 0.3), "online", "chip"),
        },
        ",",
    )


def devices(folder: Path, rows: int = 3000) -> Path:
    """80 days with late labels, some unknown, and corrected amounts."""
    random = np.random.default_rng(2)
    fraud = random.random(rows) < 0.04
    start = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1000
    at = np.sort(start + random.integers(0, 80 * DAY * 1000, rows))
    known = random.random(rows) < 0.97
    table = pa.table(
        {
            "uuid": pa.array([f"{number:08x}" for number in range(rows)]),
            "at_ms": pa.array(at),
            "stored_ms": pa.array(at + random.integers(0, 5000, rows)),
            "account": pa.array([f"A{number}" for number in random.integers(0, 60, rows)]),
            "shop": pa.array(np.where(fraud, random.integers(0, 5, rows), random.integers(0, 40, rows))),
            "device": pa.array([f"d-{number}" for number in random.integers(0, 90, rows)]),
            "cents": pa.array((random.lognormal(7, 0.8, rows) * np.where(fraud, 4, 1)).astype(np.int64)),
            "verdict": pa.array(np.where(~known, "unknown", np.where(fraud, "confirmed fraud", "cleared"))),
            "verdict_ms": pa.array(at + random.integers(0, 6 * DAY * 1000, rows), mask=~known),
            "distance": pa.array(random.exponential(20, rows), mask=random.random(rows) < 0.1),
        }
    )
    corrected = table.slice(0, rows // 2).take(np.arange(0, rows // 2, 50))
    corrected = corrected.set_column(2, "stored_ms", pa.array(corrected["stored_ms"].to_numpy() + DAY * 1000))
    corrected = corrected.set_column(6, "cents", pa.array(corrected["cents"].to_numpy() + 100))
    path = folder / "devices.parquet"
    pq.write_table(pa.concat_tables([table, corrected]), path)
    return path


def europa(folder: Path, rows: int = 8000) -> Path:
    """90 days with eight frauds, evenly spread."""
    random = np.random.default_rng(3)
    fraud = np.zeros(rows, bool)
    fraud[500 :: rows // 8] = True
    start = datetime(2025, 3, 1, tzinfo=UTC)
    moments = [start + timedelta(seconds=int(second)) for second in np.sort(random.integers(0, 90 * DAY, rows))]
    amounts = random.lognormal(4, 1.4, rows) * np.where(fraud, 8, 1)
    return _csv(
        folder / "europa.csv",
        {
            "Buchungsnummer": np.arange(1, rows + 1),
            "Zeitpunkt": [f"{moment.astimezone(BERLIN):%d.%m.%Y %H:%M:%S}" for moment in moments],
            "Kundennummer": [f"K{number:05d}" for number in random.integers(0, 80, rows)],
            "Händler": [f"Laden {number}" for number in random.integers(0, 60, rows)],
            "Betrag": [f"{_german(amount)} €" for amount in amounts],
            "Betrug": np.where(fraud, "Ja", np.where(random.random(rows) < 0.02, "offen", "Nein")),
            "Entfernung": [_german(distance) for distance in random.exponential(900, rows)],
            "Land": random.choice(["DE", "AT", "CH", "k.A."], rows, p=[0.6, 0.2, 0.17, 0.03]),
        },
        ";",
    )


def _german(number: float) -> str:
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


def _csv(path: Path, columns: dict[str, object], separator: str) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path
