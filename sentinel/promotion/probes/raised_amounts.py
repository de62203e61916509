"""Larger amounts at the merchants that are known for fraud."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sentinel.config import GateCase
from sentinel.model.inputs import ModelInputs
from sentinel.promotion.questions import ABOUT, FACTORS, OF_FACTOR
from sentinel.scoring import Categorical, Numeric, Scorer

ROWS = 1000
MERCHANT, AMOUNT = "merchant", "amount_minor"
_PRIOR_LABELS = 10.0  # of no fraud: one fraud among one label is not the riskiest merchant of all


def raise_amounts(
    inputs: ModelInputs,
    rows: pa.Table,
    numeric: Numeric,
    categorical: Categorical,
    feature_set: Mapping[str, Any],
    scorer: Scorer,
) -> pa.Table:
    """A row a payment at a risky merchant: the answer to it, and to the amount times each factor.

    `numeric` and `categorical`: `rows` encoded. Where there is nothing to ask the metadata name the case.
    """
    counted = _label_counts(feature_set)
    if counted is None or not set(counted) <= set(rows.column_names):
        return _nothing(
            "no_merchant_labels", "The table has no merchants, or no count of what is known of their fraud."
        )
    risky = _riskiest(*(_counts(rows, name) for name in counted))
    if not len(risky):
        return _nothing("no_risky_merchant", "No test row is at a merchant with a known fraud.")
    numeric, categorical = numeric[risky], categorical[risky]
    columns = {"answer": pa.array(scorer.score(numeric, categorical), pa.float32())}
    for factor in FACTORS:
        raised = numeric.copy()
        raised[:, inputs.numeric.index(AMOUNT)] = np.round(raised[:, inputs.numeric.index(AMOUNT)] * factor)
        columns[OF_FACTOR.format(factor=factor)] = pa.array(scorer.score(raised, categorical), pa.float32())
    return pa.table(columns).replace_schema_metadata({ABOUT: json.dumps({"case": None})})


def _label_counts(feature_set: Mapping[str, Any]) -> tuple[str, str] | None:
    """The columns with a merchant's known frauds and known labels over the longest window that has both."""
    by_window: dict[int, dict[str, str]] = {}
    for entry in feature_set["aggregates"]:
        if entry["entity"] == MERCHANT and entry["kind"] == "labels":
            by_window.setdefault(int(entry["window_us"]), {})[entry["statistic"]] = entry["name"]
    both = {window: names for window, names in by_window.items() if {"fraud_count", "label_count"} <= names.keys()}
    return (both[max(both)]["fraud_count"], both[max(both)]["label_count"]) if both else None


def _counts(rows: pa.Table, name: str) -> NDArray[np.float64]:
    values = cast("NDArray[Any]", rows.column(name).cast(pa.float64()).to_numpy())
    return np.nan_to_num(values)


def _riskiest(frauds: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.int64]:
    """The rows, ROWS at most, whose merchant had the highest known fraud share, one fraud at least; ascending."""
    share = np.where(frauds >= 1, frauds / (np.maximum(labels, frauds) + _PRIOR_LABELS), 0.0)
    first = np.argsort(-share, kind="stable")[:ROWS]
    return np.sort(first[share[first] > 0])


def _nothing(case: GateCase, sentence: str) -> pa.Table:
    about = json.dumps({"case": case, "sentence": sentence})
    return pa.table({"answer": pa.array([], pa.float32())}).replace_schema_metadata({ABOUT: about})
