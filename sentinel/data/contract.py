"""The column contract: which source column each contract column is read from, and the table that results."""

# pyarrow carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from sentinel.config import Column, Columns
from sentinel.data.source_files import SourceFile
from sentinel.errors import DataContractError

Kind = Literal["id", "time", "amount", "label", "number", "category"]
Where = Callable[[str], str]

INSTANT = pa.timestamp("us", "UTC")
TYPES: Mapping[Kind, pa.DataType] = {
    "id": pa.string(),  # or int64, see ingestion
    "time": INSTANT,
    "amount": pa.int64(),
    "label": pa.bool_(),
    "number": pa.float64(),
    "category": pa.string(),
}


@dataclass(frozen=True)
class ContractColumn:
    """A column of the contract. A key may not be null; `config_key` is where the config names its source."""

    name: str
    kind: Kind
    config_key: str
    source: str
    is_key: bool
    may_be_absent: bool


def contract_columns(columns: Columns) -> list[ContractColumn]:
    """The mapped columns in the order of the contract, then the declared numeric and categorical ones."""
    found = [
        _entry("transaction_id", "id", columns.transaction_id, is_key=True, always=True),
        _entry("event_timestamp", "time", columns.event_timestamp, is_key=True, always=True),
        _entry("recorded_at", "time", columns.recorded_at, is_key=True),
        _entry("customer_id", "id", columns.customer_id, is_key=True, always=True),
        _entry("merchant_id", "id", columns.merchant_id, is_key=True),
        *(
            _entry(f"{entity}_id", "id", column, config_key=f"columns.entities.{entity}", is_key=True)
            for entity, column in columns.entities.items()
        ),
        _entry("amount_minor", "amount", columns.amount, config_key="columns.amount", always=True),
        _entry("is_fraud", "label", columns.is_fraud, always=True),
        _entry("label_available_at", "time", columns.label_available_at),
    ]
    found += [
        _entry(name, "number", column, config_key=f"columns.numeric.{name}") for name, column in columns.numeric.items()
    ]
    found += [
        _entry(name, "category", column, config_key=f"columns.categorical.{name}")
        for name, column in columns.categorical.items()
    ]
    return [entry for entry in found if entry is not None]


def _entry(
    name: str,
    kind: Kind,
    column: Column | None,
    *,
    config_key: str | None = None,
    is_key: bool = False,
    always: bool = False,
) -> ContractColumn | None:
    if column is None:
        return None
    return ContractColumn(
        name, kind, config_key or f"columns.{name}", column.source, is_key, column.optional and not always
    )


def present_columns(
    wanted: Sequence[ContractColumn], files: Sequence[SourceFile], where: Where
) -> list[ContractColumn]:
    """Without the optional columns that no file has. Raises DataContractError when a required one is missing."""
    for column in wanted:
        for file in files:
            if column.source not in file.columns and not column.may_be_absent:
                raise DataContractError(_missing(column, file, where))
    return [column for column in wanted if any(column.source in file.columns for file in files)]


def _missing(column: ContractColumn, file: SourceFile, where: Where) -> str:
    nearest = _nearest(column.source, file.columns)
    hint = f"The nearest name there is {nearest!r}. " if nearest else ""
    known = ", ".join(file.columns[:20]) + (", …" if len(file.columns) > 20 else "")
    return (
        f"{where(column.config_key)}: {column.config_key} names the column {column.source!r}, which {file.path} does "
        f"not have. {hint}Mend that line of the configuration; the file has the columns {known}."
    )


def _nearest(name: str, known: Sequence[str]) -> str | None:
    by_lower = {one.lower(): one for one in reversed(known)}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return by_lower[found[0]] if found else None


def canonical_schema(columns: Sequence[ContractColumn], integer_ids: frozenset[str]) -> pa.Schema:
    """Types of transactions.parquet; `integer_ids` are the id columns that hold whole numbers alone."""
    return pa.schema([
        (column.name, pa.int64() if column.name in integer_ids else TYPES[column.kind]) for column in columns
    ])  # fmt: skip
