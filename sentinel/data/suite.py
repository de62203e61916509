"""The suite of one data set: what its config and the column contract say, as expectations.

Each expectation carries its name, a description, a severity (critical stops a run, warning does not) and, in
`meta.fault`, the sentence a person reads when it fails; `verdict.py` fills its {rows}, {share}, {observed}...
"""

# GX re-exports its expectations without saying so in an __all__
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import great_expectations.expectations as gxe
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.row_conditions import Column as Condition

from sentinel.config import Columns, Validation
from sentinel.data.expectations import (
    ExpectColumnSpanToExceed,
    ExpectColumnToCoverDays,
    ExpectColumnTrueFractionToBeBetween,
    ExpectMatureRowsToBeLabelled,
    ExpectTableColumnTypes,
)
from sentinel.errors import ConfigInvalid

ID = ["int64", "string"]
TIME = ["timestamp[us, UTC]"]
EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
MISSING_WORDS = ("", " ", "null", "NULL", "None", "nan", "NaN", "N/A", "NA")  # a missing value is null, not a word
MIN_DISTINCT_AMOUNTS = 10
MAX_DUPLICATE_FRACTION = 0.01
MAX_LISTED = 12
LARGEST_FLOAT = 1e308  # beyond it lie the infinities


def contract_suite(
    name: str, columns: Columns, settings: Validation, label_maturity: timedelta, absent: Set[str] = frozenset()
) -> ExpectationSuite:
    """The expectations of `name`; `absent` are optional columns that the table at hand does not have."""
    types = {column: kind for column, kind in _types(columns).items() if column not in absent}
    expectations = [
        *_table(types, settings),
        *_keys(columns),
        *_amount(settings),
        *_times(columns, settings, label_maturity),
        *_labels(columns, settings, label_maturity),
        *_declared(columns, settings, absent),
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


def _says(
    name: str, description: str, fault: str, severity: Literal["critical", "warning"] = "critical"
) -> dict[str, Any]:
    return {"description": description, "severity": severity, "meta": {"name": name, "fault": fault}}


def _table(types: dict[str, list[str]], settings: Validation) -> Iterator[Expectation]:
    yield gxe.ExpectTableColumnsToMatchSet(
        column_set=list(types),
        exact_match=True,
        **_says("columns", "The table has the columns of the contract and no others.", "{columns}"),
    )
    yield ExpectTableColumnTypes(
        types=types, **_says("types", "Each column has the type that the contract names.", "{types}")
    )
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=settings.min_rows,
        **_says(
            "row_count",
            f"There are at least {settings.min_rows:,} transactions.",
            f"the table has {{observed}} rows, fewer than validation.min_rows = {settings.min_rows:,}",
        ),
    )


def _keys(columns: Columns) -> Iterator[Expectation]:
    if columns.recorded_at:
        yield gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["transaction_id", "recorded_at"],
            **_says(
                "transaction_id_unique",
                "A transaction has one row for each moment it was recorded at.",
                "{rows} rows ({share}) share their transaction_id and recorded_at with another row",
            ),
        )
    else:
        yield gxe.ExpectColumnValuesToBeUnique(
            column="transaction_id",
            **_says(
                "transaction_id_unique",
                "A transaction has one row.",
                "{rows} rows ({share}) share their transaction_id with another row",
            ),
        )
    entities = ["customer_id", *(["merchant_id"] if columns.merchant_id else []), *columns.entity_keys]
    times = ["event_timestamp", *(["recorded_at"] if columns.recorded_at else [])]
    for name in ("transaction_id", *entities, *times, "amount_minor"):
        yield gxe.ExpectColumnValuesToNotBeNull(
            column=name,
            **_says(f"{name}_present", f"Every row has a value of {name}.", "{rows} rows ({share}) have no value"),
        )
    for name in entities:
        yield gxe.ExpectColumnUniqueValueCountToBeBetween(
            column=name,
            min_value=2,
            **_says(
                f"{name}_several",
                f"There is more than one {name}.",
                "all rows hold the same value, so that it identifies nobody",
            ),
        )
    yield gxe.ExpectCompoundColumnsToBeUnique(
        column_list=["event_timestamp", *entities, "amount_minor", *times[1:]],
        mostly=1 - MAX_DUPLICATE_FRACTION,
        **_says(
            "content_unique",
            f"At most {MAX_DUPLICATE_FRACTION:.0%} of the rows repeat another row's time, parties and amount.",
            "{rows} rows ({share}) repeat another row under a different transaction_id",
            "warning",
        ),
    )


def _amount(settings: Validation) -> Iterator[Expectation]:
    most = settings.max_amount_minor
    yield gxe.ExpectColumnValuesToBeBetween(
        column="amount_minor",
        min_value=-most,
        max_value=most,
        **_says(
            "amount_minor_plausible",
            f"No amount, nor refund, is over {most:,} minor units.",
            f"{{rows}} rows ({{share}}) lie beyond validation.max_amount_minor = {most:,}, such as {{values}}",
        ),
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="amount_minor",
        min_value=1,
        mostly=1 - settings.max_nonpositive_fraction,
        **_says(
            "amount_minor_mostly_positive",
            f"At most {settings.max_nonpositive_fraction:.0%} of the amounts are zero or refunds.",
            "{rows} rows ({share}) are zero or negative, over validation.max_nonpositive_fraction = "
            f"{settings.max_nonpositive_fraction:g}",
        ),
    )
    yield gxe.ExpectColumnUniqueValueCountToBeBetween(
        column="amount_minor",
        min_value=MIN_DISTINCT_AMOUNTS,
        **_says(
            "amount_minor_varies",
            f"There are at least {MIN_DISTINCT_AMOUNTS} different amounts.",
            "there are only {observed} different amounts; is another column mapped, or the unit of money wrong?",
        ),
    )


def _times(columns: Columns, settings: Validation, label_maturity: timedelta) -> Iterator[Expectation]:
    later = [name for name in ("recorded_at", "label_available_at") if getattr(columns, name)]
    for name in ("event_timestamp", *later):
        yield gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=EARLIEST,
            max_value=LATEST,
            **_says(
                f"{name}_plausible",
                f"Every {name} lies between {EARLIEST.year} and {LATEST.year}.",
                f"{{rows}} rows ({{share}}) lie before {EARLIEST.year} or after {LATEST.year}, such as {{values}}",
            ),
        )
    for name in later:
        yield gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=name,
            column_B="event_timestamp",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
            **_says(
                f"{name}_after_event",
                f"No {name} is earlier than the transaction itself.",
                "{rows} rows ({share}) are earlier than their event_timestamp",
            ),
        )
    yield gxe.ExpectColumnValuesToBeIncreasing(
        column="event_timestamp",
        **_says("rows_in_order", "The rows are in order of time.", "{rows} rows are earlier than the row before them"),
    )
    days = label_maturity / timedelta(days=1)
    yield ExpectColumnSpanToExceed(
        column="event_timestamp",
        days=days,
        **_says(
            "span",
            f"The transactions span more than the label maturity of {days:g} days.",
            f"the transactions span {{observed}} days, no more than splits.label_maturity = {days:g} days, so that no "
            "label is mature",
        ),
    )
    yield ExpectColumnToCoverDays(
        column="event_timestamp",
        max_empty_fraction=settings.max_empty_days_fraction,
        **_says(
            "no_gaps",
            f"At most {settings.max_empty_days_fraction:.0%} of the days have no transaction at all.",
            "{empty_days} of {calendar_days} days have no transaction, over validation.max_empty_days_fraction = "
            f"{settings.max_empty_days_fraction:g}",
        ),
    )


def _labels(columns: Columns, settings: Validation, label_maturity: timedelta) -> Iterator[Expectation]:
    least, most = settings.min_fraud_rate, settings.max_fraud_rate
    yield ExpectColumnTrueFractionToBeBetween(
        column="is_fraud",
        min_fraction=least,
        max_fraction=most,
        **_says(
            "fraud_rate",
            f"Of the labelled transactions {least:.2%} to {most:.2%} are frauds.",
            f"the share of frauds is {{observed}}, outside validation.min_fraud_rate = {least:g} to max_fraud_rate = "
            f"{most:g}",
        ),
    )
    days = label_maturity / timedelta(days=1)
    yield ExpectMatureRowsToBeLabelled(
        label="is_fraud",
        column="event_timestamp",
        maturity_days=days,
        min_fraction=settings.min_labelled_fraction,
        **_says(
            "labels_mature",
            f"Of the transactions older than {days:g} days {settings.min_labelled_fraction:.0%} have a label.",
            f"{{rows}} rows ({{share}}) older than splits.label_maturity = {days:g} days have no label, so fewer than "
            f"validation.min_labelled_fraction = {settings.min_labelled_fraction:g} have one",
        ),
    )
    if columns.label_available_at:
        yield gxe.ExpectColumnValuesToNotBeNull(
            column="label_available_at",
            row_condition=Condition("is_fraud").is_not_null(),
            **_says(
                "label_available_at_present",
                "Every known label has the moment it became known.",
                "{rows} rows ({share}) have a label but no moment at which it became known",
            ),
        )


def _declared(columns: Columns, settings: Validation, absent: Set[str]) -> Iterator[Expectation]:
    for name, values in settings.categories.items():
        if name not in columns.categorical:
            raise ConfigInvalid(
                f"validation.categories names {name!r}, which is no column of [columns.categorical]. "
                "Declare it there, or remove its known values."
            )
        if name not in absent:
            yield gxe.ExpectColumnValuesToBeInSet(
                column=name,
                value_set=list(values),
                **_says(
                    f"{name}_known",
                    f"Every {name} is a known value.",
                    f"{{holding}}, which {{is_or_are}} not among the known values {_listed(values)}",
                ),
            )
    for name in columns.categorical:
        if name not in absent:
            yield gxe.ExpectColumnValuesToNotBeInSet(
                column=name,
                value_set=list(MISSING_WORDS),
                **_says(
                    f"{name}_words",
                    f"A missing {name} is null, not a word such as 'N/A'.",
                    "{holding}, a word for a missing value; it must be null",
                ),
            )
    for name in columns.numeric:
        if name not in absent:
            yield gxe.ExpectColumnValuesToBeBetween(
                column=name,
                min_value=-LARGEST_FLOAT,
                max_value=LARGEST_FLOAT,
                **_says(f"{name}_finite", f"No {name} is infinite.", "{rows} rows ({share}) are infinite"),
            )
    inputs = {name: column for name, column in {**columns.numeric, **columns.categorical}.items() if name not in absent}
    for name, column in inputs.items():
        if column.use == "input":
            yield from _informative(name, settings)


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(values[:MAX_LISTED]) + (", …" if len(values) > MAX_LISTED else "")


def _informative(name: str, settings: Validation) -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToNotBeNull(
        column=name,
        mostly=1 - settings.max_null_fraction,
        **_says(
            f"{name}_mostly_present",
            f"At most {settings.max_null_fraction:.0%} of {name} are missing.",
            f"{{rows}} rows ({{share}}) have no value, over validation.max_null_fraction = "
            f"{settings.max_null_fraction:g}",
            "warning",
        ),
    )
    yield gxe.ExpectColumnUniqueValueCountToBeBetween(
        column=name,
        min_value=2,
        **_says(f"{name}_varies", f"There is more than one {name}.", "all rows hold the same value", "warning"),
    )
