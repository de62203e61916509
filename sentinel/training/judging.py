"""What held-out rows say of a model: its figures, and the table of scores that later stages judge by."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sentinel.metrics import card_precision_at_k, expected_calibration_error, pr_auc, recall_at_fpr, roc_auc

ALERTS_A_DAY = 100
FEW_ALARMS = 0.01  # share of the genuine rows
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Scored:
    """The rows of one part with the model's and the logistic baseline's probabilities."""

    table: pa.Table
    labels: NDArray[np.bool_]
    probability: NDArray[np.float64]
    logistic: NDArray[np.float64]


def figures(part: Scored) -> dict[str, float]:
    days = part.table["event_timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy() // DAY_US
    customers = part.table["customer_id"].to_numpy()
    labels, scores = part.labels, part.probability
    return {
        "pr_auc": pr_auc(labels, scores),
        "roc_auc": roc_auc(labels, scores),
        "card_precision_at_100": card_precision_at_k(labels, scores, days, customers, ALERTS_A_DAY),
        "recall_at_fpr_1pct": recall_at_fpr(labels, scores, FEW_ALARMS),
        "expected_calibration_error": expected_calibration_error(labels, scores),
        "logistic_pr_auc": pr_auc(labels, part.logistic),
    }


def scores_table(parts: Mapping[str, Scored], described_by: Sequence[str]) -> pa.Table:
    """split, the describing columns, probability and logistic: a row for every row of every part."""
    tables: list[pa.Table] = []
    for name, part in parts.items():
        columns = {"split": pa.array([name] * part.table.num_rows, pa.string())}
        columns |= {column: part.table[column] for column in described_by}
        columns |= {"probability": pa.array(part.probability), "logistic": pa.array(part.logistic)}
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)
