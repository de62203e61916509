"""A part as one table, for tests: training reads it in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from sentinel.training.data.splits import read_blocks


def read_part(table: Path, splits: Mapping[str, Any], name: str, columns: Sequence[str]) -> pa.Table:
    return pa.concat_tables(list(read_blocks(table, splits, name, columns)))
