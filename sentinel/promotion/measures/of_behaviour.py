"""What the graph must do whatever the data say: ignore names, not reward larger amounts, answer nonsense in numbers."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sentinel.promotion.evidence import INPUTS, ODD_INPUTS, RAISED_AMOUNTS, RENAMED_IDS, Evidence, values_of
from sentinel.promotion.measures.measured import InapplicableError, Measured, UnmeasuredError
from sentinel.promotion.questions import ABOUT, ALL_INPUTS, FACTORS, NONSENSE, ODD_CODES, ODD_NUMBERS, OF_FACTOR

_TAIL = 0.99  # share of the rows whose fall counts: no network is monotone in every corner


def moved_by_names(evidence: Evidence) -> Measured:
    table = evidence.table(RENAMED_IDS)
    renamed = _about(table)["renamed"]
    before, after = _column(table, "answer"), _column(table, "renamed")
    if not len(before) or not {"transaction_id", "customer_id"} <= set(renamed):
        raise UnmeasuredError(f"{len(before)} rows were scored under other names of {', '.join(renamed) or 'nothing'}.")
    moved = int((before != after).sum())  # a NaN differs from itself
    return Measured(
        float(moved), f"{moved} of {len(before):,} scores moved when every {', '.join(renamed)} was renamed."
    )


def fall_with_amount(evidence: Evidence) -> Measured:
    """How far scores fall when the amount grows, in shares of the score, or of the threshold where that is more.

    The worst factor's fall that 99 % of the rows stay below: a rise of money must not be a way around the alarm, but
    neither trees nor networks rise at every single row.
    """
    table = evidence.table(RAISED_AMOUNTS)
    about = _about(table)
    if about.get("case"):
        raise InapplicableError(about["case"], about["sentence"])
    before, threshold = _column(table, "answer"), evidence.threshold
    raised = [_column(table, OF_FACTOR.format(factor=factor)) for factor in FACTORS]
    if not len(before) or not all(np.isfinite(values).all() for values in (before, *raised)) or not threshold > 0:
        raise UnmeasuredError(f"{len(before)} rows at risky merchants were scored, or an answer is no number.")
    falls = [(before - values) / np.maximum(before, threshold) for values in raised]
    worst = [float(np.quantile(fall, _TAIL, method="higher")) for fall in falls]
    freed = max(int(((before >= threshold) & (values < threshold)).sum()) for values in raised)
    factor = FACTORS[int(np.argmax(worst))]
    return Measured(
        max(worst),
        f"At the {len(before):,} riskiest payments by their merchants' known frauds, 99 % of the scores fall by "
        f"{max(0.0, *worst):.1%} or less when the amount is {factor:g} times as large, and their mean changes by "
        f"{float(np.mean(raised[FACTORS.index(factor)] - before)):+.4f}; {freed} alarms would be called off.",
    )


def odd_answers(evidence: Evidence) -> Measured:
    table = evidence.table(ODD_INPUTS)
    answers = _column(table, "answer")
    asked = set(zip(table.column("input").to_pylist(), table.column("value").to_pylist(), strict=True))
    if missing := _to_be_asked(evidence.read(INPUTS)) - asked:
        name, value = min(missing)
        raise UnmeasuredError(f"{len(missing)} odd inputs were not tried, such as {name} = {value}.")
    wrong = ~(np.isfinite(answers) & (answers >= 0) & (answers <= 1))
    sentence = (
        f"{int(wrong.sum())} of {len(answers):,} answers to {len(asked):,} kinds of odd inputs are no probability"
    )
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        sentence += f", such as {answers[first]} for {table['input'][first]} = {table['value'][first]}"
    return Measured(float(wrong.sum()), f"{sentence}.")


def _to_be_asked(inputs: dict[str, Any]) -> set[tuple[str, str]]:
    """Every numeric input, and all of them, missing, infinite and extreme; unknown categories; and nonsense."""
    numeric = [ALL_INPUTS, *inputs["numeric"]]
    asked = {(name, value) for name in numeric for value in ODD_NUMBERS}
    asked |= {(known["name"], code) for known in inputs["categorical"] for code in ODD_CODES}
    return asked | {(ALL_INPUTS, NONSENSE)}


def _about(table: pa.Table) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((table.schema.metadata or {})[ABOUT]))


def _column(table: pa.Table, name: str) -> NDArray[np.float64]:
    return values_of(table, name).astype(np.float64)
