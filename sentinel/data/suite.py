"""The suite of one data set: what its config and the column contract say, as expectations.

Each expectation carries its name, a description, a severity (critical stops a run, warning does not) and, in
`meta.fault`, the sentence a person reads when it fails; `verdict.py` fills its {rows}, {share}, {observed}...
"""

# GX re-exports its expectations without saying so in an __all__
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import timedelta

import great_expectations.expectations as gxe
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.expectations.expectation import Expectation

from sentinel.config import Columns, Validation
from sentinel.data.expectations import ExpectTableColumnTypes
from sentinel.data.suite_contract import about_amount, about_keys, about_labels, about_times
from sentinel.data.suite_declared import about_declared
from sentinel.data.suite_faults import says

ID = ["int64", "string"]
TIME = ["timestamp[us, UTC]"]


def contract_suite(
    name: str, columns: Columns, settings: Validation, label_maturity: timedelta, absent: Set[str] = frozenset()
) -> ExpectationSuite:
    """The expectations of `name`; `absent` are optional columns that the table at hand does not have."""
    types = {column: kind for column, kind in _types(columns).items() if column not in absent}
    expectations = [
        *_table(types, settings),
        *about_keys(columns),
        *about_amount(settings),
        *about_times(columns, settings, label_maturity),
        *about_labels(columns, settings, label_maturity),
        *about_declared(columns, settings, absent),
    ]
    return ExpectationSuite(name=name, expectations=expectations, notes=f"The data contract of {name}.")


def optional_columns(columns: Columns) -> set[str]:
    return {name for name, column in {**columns.numeric, **columns.categorical}.items() if column.optional}


def _types(columns: Columns) -> dict[str, list[str]]:
    mapped = {
        "transaction_id": ID,
        "event_timestamp": TIME,
        "recorded_at": TIME if columns.recorded_at else None,
        "customer_id": ID,
        "merchant_id": ID if columns.merchant_id else None,
        **dict.fromkeys(columns.entity_keys, ID),
        "amount_minor": ["int64"],
        "is_fraud": ["bool"],
        "label_available_at": TIME if columns.label_available_at else None,
    }
    declared = {name: ["float64"] for name in columns.numeric} | {name: ["string"] for name in columns.categorical}
    return {name: kind for name, kind in mapped.items() if kind} | declared


def _table(types: dict[str, list[str]], settings: Validation) -> Iterator[Expectation]:
    yield gxe.ExpectTableColumnsToMatchSet(
        column_set=list(types),
        exact_match=True,
        **says("columns", "The table has the columns of the contract and no others.", "{columns}"),
    )
    yield ExpectTableColumnTypes(
        types=types, **says("types", "Each column has the type that the contract names.", "{types}")
    )
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=settings.min_rows,
        **says(
            "row_count",
            f"There are at least {settings.min_rows:,} transactions.",
            f"the table has {{observed}} rows, fewer than validation.min_rows = {settings.min_rows:,}",
        ),
    )
