"""What held-out rows say of a model: its figures, and the table of scores that later stages judge by."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sentinel.metrics import card_precision_at_k, expected_calibration_error, pr_auc, recall_at_fpr, roc_auc
from sentinel.slices import amounts_of, groupings_of
from sentinel.training.judging.calibration_error import calibration_error_estimate
from sentinel.training.judging.intervals import Estimate, pr_auc_estimate, roc_auc_estimate, share
from sentinel.training.judging.slices import Slice, judge_slices
from sentinel.training.judging.threshold import DAY_US, Threshold, counted_days

ALERTS_A_DAY = 100
FEW_ALARMS = 0.01  # share of the genuine rows


@dataclass(frozen=True)
class Scored:
    """The rows of one part with the model's and the logistic baseline's probabilities."""

    table: pa.Table
    labels: NDArray[np.bool_]
    probability: NDArray[np.float64]
    logistic: NDArray[np.float64]

    @property
    def moments_us(self) -> NDArray[np.int64]:
        return moments_us(self.table)

    @property
    def amounts(self) -> NDArray[np.int64]:
        return amounts_of(self.table)


@dataclass(frozen=True)
class Judgement:
    """Each part's figures; for the test part also intervals, and the quality by slice."""

    threshold: Threshold
    metrics: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Estimate]
    slices: Sequence[Slice]

    def to_dict(self) -> dict[str, Any]:
        """What training.json keeps of it."""
        budget = asdict(self.threshold)
        return {
            "threshold": budget.pop("value"),
            "threshold_budget": budget,
            "metrics": self.metrics,
            "intervals": {name: asdict(estimate) for name, estimate in self.intervals.items()},
            "slices": [asdict(found) for found in self.slices],
        }


def moments_us(table: pa.Table) -> NDArray[np.int64]:
    """When each transaction happened, in microseconds since 1970."""
    moments = table["event_timestamp"].cast(pa.timestamp("us", "UTC"))
    return cast("NDArray[np.int64]", moments.cast(pa.int64()).to_numpy())


def judge(parts: Mapping[str, Scored], threshold: Threshold, feature_set: Mapping[str, Any], seed: int) -> Judgement:
    """Amount bands come from the calibration part; all else speaks of its own part."""
    test = parts["test"]
    groupings = groupings_of(test.table, test.labels, parts["calibration"].amounts, feature_set)
    days = counted_days(test.moments_us)
    return Judgement(
        threshold,
        {name: figures(part, threshold.value) for name, part in parts.items()},
        _intervals(test, threshold.value, seed),
        judge_slices(groupings, test.labels, test.probability, threshold.value, days, seed),
    )


def figures(part: Scored, threshold: float) -> dict[str, float]:
    moments, customers = part.moments_us, part.table["customer_id"].to_numpy()
    labels, scores = part.labels, part.probability
    return {
        "pr_auc": pr_auc(labels, scores),
        "roc_auc": roc_auc(labels, scores),
        "card_precision_at_100": card_precision_at_k(labels, scores, moments // DAY_US, customers, ALERTS_A_DAY),
        "recall_at_fpr_1pct": recall_at_fpr(labels, scores, FEW_ALARMS),
        "expected_calibration_error": expected_calibration_error(labels, scores),
        "logistic_pr_auc": pr_auc(labels, part.logistic),
        **_at_threshold(part, scores >= threshold),
    }


def _at_threshold(part: Scored, flagged: NDArray[np.bool_]) -> dict[str, float]:
    """What the budget means in alerts and money. Without an alert there is no precision."""
    caught = flagged & part.labels
    alerts = int(flagged.sum())
    found = {
        "alerts_a_day": alerts / counted_days(part.moments_us),
        "false_positive_rate": float(flagged[~part.labels].mean()),
        "recall": float(flagged[part.labels].mean()),
        "caught_fraud_amount_minor": float(part.amounts[caught].sum()),
        "missed_fraud_amount_minor": float(part.amounts[part.labels & ~flagged].sum()),
    }
    return found | ({"precision": float(caught.sum()) / alerts} if alerts else {})


def _intervals(part: Scored, threshold: float, seed: int) -> dict[str, Estimate]:
    labels, scores = part.labels, part.probability
    flagged = scores >= threshold
    alerts, frauds, caught = (int(rows.sum()) for rows in (flagged, labels, flagged & labels))
    found = {
        "pr_auc": pr_auc_estimate(labels, scores, seed),
        "roc_auc": roc_auc_estimate(labels, scores, seed),
        "expected_calibration_error": calibration_error_estimate(labels, scores, seed),
        "recall": share(caught, frauds),
        "false_positive_rate": share(alerts - caught, len(labels) - frauds),
    }
    return found | ({"precision": share(caught, alerts)} if alerts else {})


def scores_table(parts: Mapping[str, Scored], described_by: Sequence[str]) -> pa.Table:
    """split, the describing columns, probability and logistic: a row for every row of every part."""
    tables: list[pa.Table] = []
    for name, part in parts.items():
        columns = {"split": pa.array([name] * part.table.num_rows, pa.string())}
        columns |= {column: part.table[column] for column in described_by}
        columns |= {"probability": pa.array(part.probability), "logistic": pa.array(part.logistic)}
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)
