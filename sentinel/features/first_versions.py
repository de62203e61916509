"""What is asked about: every transaction once, as it was first recorded, with its label as it is known by now.

A payment is decided on its first record. A corrected amount or merchant was not there to decide on; a corrected
label is what the model shall learn. The build, in contrast, takes every version: each was in the store for a while.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from sentinel.features.spec import FeatureSet, microseconds
from sentinel.features.sql_text import literal

ASKED_AT = "__asked_at"  # the moment as of which a transaction's features are asked


def write_first_versions(
    transactions: Path, wanted: FeatureSet, file: Path, *, spill: Path, threads: int = 2, memory_limit: str = "2500MB"
) -> None:
    """Write the first version of each transaction with ASKED_AT, in the order of `transactions`.

    It is asked as of its event; but just before any version of it was known, should one have been known by then:
    a transaction never sees itself.
    """
    label = ["is_fraud", *(["label_available_at"] if wanted.has_label_available_at else [])]
    packed = ", ".join(f"{name} := {name}" for name in label)
    replaced = ", ".join(f"coalesce(said.{name}, {name}) AS {name}" for name in label)
    before_known = microseconds(wanted.ingestion_lag) - 1
    versions = (
        "SELECT *, row_number() OVER (PARTITION BY transaction_id ORDER BY recorded_at) AS version, "
        f"arg_max(struct_pack({packed}), recorded_at) FILTER (is_fraud IS NOT NULL) OVER of_one AS said, "
        f"min(greatest(recorded_at, event_timestamp)) OVER of_one + to_microseconds({before_known}) AS before_known "
        f"FROM read_parquet({literal(str(transactions))}, file_row_number = true) "
        "WINDOW of_one AS (PARTITION BY transaction_id)"
    )
    options: dict[str, Any] = {"threads": threads, "memory_limit": memory_limit, "temp_directory": str(spill)}
    with duckdb.connect(config=options) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"COPY (SELECT * EXCLUDE (version, said, before_known, file_row_number) REPLACE ({replaced}), "
            f"least(event_timestamp, before_known) AS {ASKED_AT} FROM ({versions}) WHERE version = 1 "
            f"ORDER BY file_row_number) TO {literal(str(file))} (FORMAT parquet)"
        )
