"""The expectations about the columns that every table has: keys, amount, times and labels."""

# GX re-exports its expectations without saying so in an __all__
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.row_conditions import Column as Condition

from sentinel.config import Columns, Validation
from sentinel.data.expectations import (
    ExpectColumnSpanToExceed,
    ExpectColumnToCoverDays,
    ExpectColumnTrueFractionToBeBetween,
    ExpectMatureRowsToBeLabelled,
)
from sentinel.data.suite_faults import says

EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
MIN_DISTINCT_AMOUNTS = 10
MAX_DUPLICATE_FRACTION = 0.01


def about_keys(columns: Columns) -> Iterator[Expectation]:
    if columns.recorded_at:
        yield gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["transaction_id", "recorded_at"],
            **says(
                "transaction_id_unique",
                "A transaction has one row for each moment it was recorded at.",
                "{rows} rows ({share}) share their transaction_id and recorded_at with another row",
            ),
        )
    else:
        yield gxe.ExpectColumnValuesToBeUnique(
            column="transaction_id",
            **says(
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
            **says(f"{name}_present", f"Every row has a value of {name}.", "{rows} rows ({share}) have no value"),
        )
    for name in entities:
        yield gxe.ExpectColumnUniqueValueCountToBeBetween(
            column=name,
            min_value=2,
            **says(
                f"{name}_several",
                f"There is more than one {name}.",
                "all rows hold the same value, so that it identifies nobody",
            ),
        )
    yield gxe.ExpectCompoundColumnsToBeUnique(
        column_list=["event_timestamp", *entities, "amount_minor", *times[1:]],
        mostly=1 - MAX_DUPLICATE_FRACTION,
        **says(
            "content_unique",
            f"At most {MAX_DUPLICATE_FRACTION:.0%} of the rows repeat another row's time, parties and amount.",
            "{rows} rows ({share}) repeat another row under a different transaction_id",
            "warning",
        ),
    )


def about_amount(settings: Validation) -> Iterator[Expectation]:
    most = settings.max_amount_minor
    yield gxe.ExpectColumnValuesToBeBetween(
        column="amount_minor",
        min_value=-most,
        max_value=most,
        **says(
            "amount_minor_plausible",
            f"No amount, nor refund, is over {most:,} minor units.",
            f"{{rows}} rows ({{share}}) lie beyond validation.max_amount_minor = {most:,}, such as {{values}}",
        ),
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="amount_minor",
        min_value=1,
        mostly=1 - settings.max_nonpositive_fraction,
        **says(
            "amount_minor_mostly_positive",
            f"At most {settings.max_nonpositive_fraction:.0%} of the amounts are zero or refunds.",
            "{rows} rows ({share}) are zero or negative, over validation.max_nonpositive_fraction = "
            f"{settings.max_nonpositive_fraction:g}",
        ),
    )
    yield gxe.ExpectColumnUniqueValueCountToBeBetween(
        column="amount_minor",
        min_value=MIN_DISTINCT_AMOUNTS,
        **says(
            "amount_minor_varies",
            f"There are at least {MIN_DISTINCT_AMOUNTS} different amounts.",
            "there are only {observed} different amounts; is another column mapped, or the unit of money wrong?",
        ),
    )


def about_times(columns: Columns, settings: Validation, label_maturity: timedelta) -> Iterator[Expectation]:
    later = [name for name in ("recorded_at", "label_available_at") if getattr(columns, name)]
    for name in ("event_timestamp", *later):
        yield gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=EARLIEST,
            max_value=LATEST,
            **says(
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
            **says(
                f"{name}_after_event",
                f"No {name} is earlier than the transaction itself.",
                "{rows} rows ({share}) are earlier than their event_timestamp",
            ),
        )
    yield gxe.ExpectColumnValuesToBeIncreasing(
        column="event_timestamp",
        **says("rows_in_order", "The rows are in order of time.", "{rows} rows are earlier than the row before them"),
    )
    days = label_maturity / timedelta(days=1)
    yield ExpectColumnSpanToExceed(
        column="event_timestamp",
        days=days,
        **says(
            "span",
            f"The transactions span more than the label maturity of {days:g} days.",
            f"the transactions span {{observed}} days, no more than splits.label_maturity = {days:g} days, so that no "
            "label is mature",
        ),
    )
    yield ExpectColumnToCoverDays(
        column="event_timestamp",
        max_empty_fraction=settings.max_empty_days_fraction,
        **says(
            "no_gaps",
            f"At most {settings.max_empty_days_fraction:.0%} of the days have no transaction at all.",
            "{empty_days} of {calendar_days} days have no transaction, over validation.max_empty_days_fraction = "
            f"{settings.max_empty_days_fraction:g}",
        ),
    )


def about_labels(columns: Columns, settings: Validation, label_maturity: timedelta) -> Iterator[Expectation]:
    least, most = settings.min_fraud_rate, settings.max_fraud_rate
    yield ExpectColumnTrueFractionToBeBetween(
        column="is_fraud",
        min_fraction=least,
        max_fraction=most,
        **says(
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
        **says(
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
            **says(
                "label_available_at_present",
                "Every known label has the moment it became known.",
                "{rows} rows ({share}) have a label but no moment at which it became known",
            ),
        )
