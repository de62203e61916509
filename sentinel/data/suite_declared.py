"""The expectations about the numeric and categorical columns that a config declares."""

# GX re-exports its expectations without saying so in an __all__
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Iterator, Set

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation

from sentinel.config import Columns, Validation
from sentinel.data.domain import UNDECLARED
from sentinel.data.suite_faults import says
from sentinel.errors import ConfigInvalid

MISSING_WORDS = ("", " ", "null", "NULL", "None", "nan", "NaN", "N/A", "NA")  # a missing value is null, not a word
LARGEST_FLOAT = 1e308  # beyond it lie the infinities


def about_declared(columns: Columns, settings: Validation, absent: Set[str]) -> Iterator[Expectation]:
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
                **says(f"{name}_known", f"Every {name} is a known value.", UNDECLARED),
            )
    for name in columns.categorical:
        if name not in absent:
            yield gxe.ExpectColumnValuesToNotBeInSet(
                column=name,
                value_set=list(MISSING_WORDS),
                **says(
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
                **says(f"{name}_finite", f"No {name} is infinite.", "{rows} rows ({share}) are infinite"),
            )
    inputs = {name: column for name, column in {**columns.numeric, **columns.categorical}.items() if name not in absent}
    for name, column in inputs.items():
        if column.use == "input":
            yield from _informative(name, settings)


def _informative(name: str, settings: Validation) -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToNotBeNull(
        column=name,
        mostly=1 - settings.max_null_fraction,
        **says(
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
        **says(f"{name}_varies", f"There is more than one {name}.", "all rows hold the same value", "warning"),
    )
