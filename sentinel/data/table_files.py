"""Parquet files whose bytes depend on their rows alone: fixed row groups, one compressor, no stored schema."""

# pyarrow carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_GROUP = 1 << 17


def write_table_file(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write `tables` one after the other, cut anew into full row groups. Returns the number of rows.

    zstd gives equal bytes on every processor; snappy, the default, does not promise that.
    """
    rows = 0
    waiting: list[pa.Table] = []
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        store_schema=False,
        store_decimal_as_integer=True,
        write_page_checksum=True,  # zstd decodes damaged bytes in silence
    ) as writer:
        for table in tables:
            waiting.append(table)
            rows += table.num_rows
            if sum(one.num_rows for one in waiting) >= ROWS_PER_GROUP:
                waiting = _write_full_groups(writer, pa.concat_tables(waiting))
        if waiting:
            writer.write_table(pa.concat_tables(waiting).combine_chunks(), row_group_size=ROWS_PER_GROUP)
    return rows


def _write_full_groups(writer: pq.ParquetWriter, table: pa.Table) -> list[pa.Table]:
    full = table.num_rows // ROWS_PER_GROUP * ROWS_PER_GROUP
    for start in range(0, full, ROWS_PER_GROUP):
        # one chunk a column: page ends must not depend on how the rows arrived
        writer.write_table(table.slice(start, ROWS_PER_GROUP).combine_chunks(), row_group_size=ROWS_PER_GROUP)
    return [table.slice(full)] if full < table.num_rows else []
