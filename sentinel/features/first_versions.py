"""What is asked about: every transaction once, as it was first recorded, with its label as it is known by now.

A payment is decided on its first record. A corrected amount or merchant was not there to decide on; a corrected
label is what the model shall learn. The build, in contrast, takes every version: each was in the store for a while.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from sentinel.features.asof_sql import literal
from sentinel.features.spec import FeatureSet, microseconds

ASKED_AT = "__asked_at"  # the moment as of which a transaction's features are asked


def write_first_versions(
    transactions: Path, wanted: FeatureSet, file: Path, *, spill: Path, threads: int = 2, memory_limit: str = "2500MB"
) -> None:
    """Write the first version of each transaction with ASKED_AT, in the order of `transactions`.

    It is asked as of its event; but just before any version of it was known, should one have been known by then:
    a transaction never sees itself.
    """
    source = f"read_parquet({literal(str(transactions))}, file_row_number = true)"
    label = ["is_fraud", *(["label_available_at"] if wanted.has_label_available_at else [])]
    replaced = ", ".join(f"coalesce(corrected.said.{name}, {name}) AS {name}" for name in label)
    first_known = "coalesce(corrected.first_known, greatest(recorded_at, event_timestamp))"
    before_known = f"{first_known} + to_microseconds({microseconds(wanted.ingestion_lag) - 1})"
    options: dict[str, Any] = {"threads": threads, "memory_limit": memory_limit, "temp_directory": str(spill)}
    with duckdb.connect(config=options) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TEMP TABLE corrected AS {_corrected(source, label)}")
        connection.execute(
            f"COPY (SELECT source.* EXCLUDE (file_row_number) REPLACE ({replaced}), "
            f"least(event_timestamp, {before_known}) AS {ASKED_AT} "
            f"FROM {source} AS source LEFT JOIN corrected USING (file_row_number) "
            f"WHERE coalesce(corrected.version, 1) = 1 ORDER BY file_row_number) "
            f"TO {literal(str(file))} (FORMAT parquet)"
        )


def _corrected(source: str, label: list[str]) -> str:
    """SQL of the rows whose transaction has several versions, which are few: what the others say of each."""
    packed = ", ".join(f"{name} := {name}" for name in label)
    several = f"SELECT transaction_id FROM {source} GROUP BY transaction_id HAVING count(*) > 1"
    return (
        "SELECT file_row_number, row_number() OVER (PARTITION BY transaction_id ORDER BY recorded_at) AS version, "
        f"arg_max(struct_pack({packed}), recorded_at) FILTER (is_fraud IS NOT NULL) OVER of_one AS said, "
        "min(greatest(recorded_at, event_timestamp)) OVER of_one AS first_known "
        f"FROM {source} WHERE transaction_id IN ({several}) WINDOW of_one AS (PARTITION BY transaction_id)"
    )
