"""What the results of a suite mean: each expectation's outcome, in a sentence, with counts and sample rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from sentinel.data.domain import UNDECLARED, undeclared_sentence
from sentinel.data.drift import Reference
from sentinel.data.table import TransactionTable
from sentinel.errors import ValidationFailed

MAX_SAMPLES = 5
MAX_VALUES = 3

Outcome = Literal["passed", "warning", "failed", "not_checked"]
Sample = Mapping[str, Any]


@dataclass(frozen=True)
class FailedExpectation:
    """`unexpected_fraction` is of the rows that the expectation looks at; both are None where rows are not counted."""

    name: str
    column: str | None
    sentence: str
    unexpected_count: int | None
    unexpected_fraction: float | None
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Finding:
    """The outcome of one expectation; `fault` says what is wrong, `not_checked` ones follow from another fault."""

    name: str
    description: str
    severity: str
    outcome: Outcome
    fault: FailedExpectation | None


class DataRejected(ValidationFailed):
    """Carries the faults, for tables in the terminal and in Prefect."""

    def __init__(self, message: str, failures: tuple[FailedExpectation, ...]) -> None:
        super().__init__(message)
        self.failures = failures


@dataclass(frozen=True)
class _Data:
    table: TransactionTable
    reference: Reference | None


def judge(
    results: Sequence[dict[str, Any]], table: TransactionTable, reference: Reference | None = None
) -> tuple[Finding, ...]:
    """`results`: GX's, as JSON, in the suite's order. What follows from a missing or mistyped column is not checked.

    `reference`: what the champion was trained on, where a sentence can say what was there before.
    """
    unusable = _unusable_columns(results)
    return tuple(_finding(result, _Data(table, reference), unusable) for result in results)


def faults(findings: Sequence[Finding], outcome: Outcome) -> tuple[FailedExpectation, ...]:
    return tuple(found.fault for found in findings if found.outcome == outcome and found.fault)


def as_json(findings: Sequence[Finding], rows: int) -> dict[str, Any]:
    """The verdict as it is kept: the same data and config give the same bytes."""
    outcomes = [found.outcome for found in findings]
    return {
        "passed": not {"failed", "not_checked"} & set(outcomes),
        "rows": rows,
        "expectations": len(findings),
        "outcomes": {name: outcomes.count(name) for name in ("passed", "warning", "failed", "not_checked")},
        "findings": [asdict(found) for found in findings],
    }


def rejection(name: str, findings: Sequence[Finding], page: str) -> DataRejected:
    """The error that ends a run, with every failed expectation and its first rows."""
    failures = faults(findings, "failed")
    lines = [
        f"The data of {name} break {len(failures)} of {len(findings)} expectations, so nothing was trained on them."
    ]
    for number, failed in enumerate(failures, start=1):
        lines.append(f"  {number}. {failed.name}: {failed.sentence}")
        lines += [f"       {_row(sample)}" for sample in failed.samples]
    if hidden := sum(found.outcome == "not_checked" for found in findings):
        lines.append(f"  {hidden} further expectations could not be checked because of these.")
    lines.append(
        f"All results: {page}\nMend the source and ingest it again; where the data are right, mend the bounds in "
        "[validation] or the columns in [columns] of the config. Then run again."
    )
    return DataRejected("\n".join(lines), failures)


def _row(sample: Sample) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in sample.items())


def _unusable_columns(results: Sequence[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for result in results:
        details = cast(dict[str, Any], result["result"].get("details") or {})
        found |= set(details.get("mismatched", {}).get("missing", [])) | set(details.get("wrong", {}))
    return found


def _finding(result: dict[str, Any], data: _Data, unusable: set[str]) -> Finding:
    config = result["expectation_config"]
    name, severity = config["meta"]["name"], config["severity"]
    columns = _columns(config["kwargs"])
    if result["success"]:
        outcome: Outcome = "passed"
    elif unusable & set(columns):
        outcome = "not_checked"
    else:
        outcome = "warning" if severity == "warning" else "failed"
    fault = _fault(name, columns, result, data) if outcome in ("warning", "failed") else None
    return Finding(name, config["description"], severity, outcome, fault)


def _columns(kwargs: dict[str, Any]) -> list[str]:
    named = [kwargs.get(key) for key in ("column", "column_A", "column_B", "label")]
    return [name for name in [*named, *kwargs.get("column_list", [])] if name]


def _fault(name: str, columns: list[str], result: dict[str, Any], data: _Data) -> FailedExpectation:
    found = cast(dict[str, Any], result["result"])
    positions = cast(list[int], found.get("partial_unexpected_index_list") or [])
    shown = list(dict.fromkeys(name for name in ("transaction_id", *columns) if name in data.table.types))
    samples = tuple(
        {column: plain(value) for column, value in zip(shown, row, strict=True)}
        for row in data.table.frame(positions[:MAX_SAMPLES], shown).itertuples(index=False, name=None)
    )
    count = found.get("unexpected_count")
    fraction = found["unexpected_percent"] / 100 if found.get("unexpected_percent") is not None else None
    column = columns[0] if columns else None
    sentence = _sentence(result, column, samples, data)
    return FailedExpectation(name, column, sentence, count, fraction, samples)


def _sentence(result: dict[str, Any], column: str | None, samples: Sequence[Sample], data: _Data) -> str:
    found, config = cast(dict[str, Any], result["result"]), result["expectation_config"]
    text = cast(str, config["meta"]["fault"])
    if "observed_value" not in found and "unexpected_count" not in found:
        return f"{column or 'the table'} could not be checked: {_exception(result)}"
    words = {
        "rows": f"{found.get('unexpected_count') or 0:,}",
        "share": f"{found.get('unexpected_percent') or 0:.3g} %",
        "observed": _number(found.get("observed_value")),
        "values": ", ".join(repr(sample[column]) for sample in samples[:MAX_VALUES]) if column else "",
        **{name: str(value) for name, value in cast(dict[str, Any], found.get("details") or {}).items()},
    }
    if "{holding}" in text and column:
        words["holding"] = _holding(data.table, column, config)
    if text == UNDECLARED and column:
        counts, declared = data.table.value_counts(column), config["kwargs"]["value_set"]
        return undeclared_sentence(column, counts, declared, data.reference) or text
    if "{columns}" in text:
        words["columns"] = _wrong_columns(found["details"]["mismatched"])
    if "{types}" in text:
        words["types"] = _wrong_types(found["details"]["wrong"], config["kwargs"]["types"])
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", value)
    return f"{column}: {text}" if column else text


def _holding(table: TransactionTable, column: str, config: dict[str, Any]) -> str:
    """The most frequent values that ought not to be, with their rows."""
    listed = set(config["kwargs"]["value_set"])
    strange = [(value, count) for value, count in table.value_counts(column) if value in listed]
    parts = [f"{count:,} rows hold {value!r}" for value, count in strange[:MAX_VALUES]]
    if len(strange) > MAX_VALUES:
        parts.append(f"further rows {len(strange) - MAX_VALUES:,} more such values")
    return " and ".join(parts)


def _wrong_columns(mismatched: dict[str, list[str]]) -> str:
    missing, strange = mismatched.get("missing", []), mismatched.get("unexpected", [])
    parts = [f"the table lacks {', '.join(missing)}"] if missing else []
    return " and ".join([*parts, *([f"the table has {', '.join(strange)}, not in the contract"] if strange else [])])


def _wrong_types(wrong: dict[str, str], right: dict[str, list[str]]) -> str:
    return "; ".join(
        f"{name} is {found}, where the contract wants {' or '.join(right[name])}" for name, found in wrong.items()
    )


def _exception(result: dict[str, Any]) -> str:
    """The messages in GX's report of exceptions, which is either one or one for each metric."""
    info = cast(dict[str, Any], result.get("exception_info") or {})
    reports = [info] if "exception_message" in info else cast(list[dict[str, Any]], list(info.values()))
    return "; ".join(sorted({str(report["exception_message"]) for report in reports})) or "no result"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def plain(value: Any) -> Any:
    """A cell as JSON can hold it."""
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    cell = cast(Any, value.item()) if isinstance(value, np.generic) else value
    return cell if not isinstance(cell, float) or np.isfinite(cell) else str(cell)
