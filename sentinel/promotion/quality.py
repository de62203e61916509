"""What training found on the test part, as a release keeps it: the budget, intervals, quality by slice; and in words.

It speaks of the network as it was trained; the gates judge the graph that would serve.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinel.promotion.layout import EVIDENCE

_KEPT = ("threshold", "threshold_budget", "intervals", "slices")
_BUDGETS = {
    "alerts_a_day": "{asked:,.6g} alerts a day",
    "false_positive_rate": "{asked:.4g} of the genuine transactions flagged",
}


def read_quality(folder: Path) -> dict[str, Any]:
    """The release's quality; empty parts where its training recorded none."""
    file = folder / EVIDENCE / "training.json"
    recorded: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    found = {name: recorded.get(name) for name in _KEPT}
    return {**found, "test": recorded.get("metrics", {}).get("test", {})}


def in_words(quality: Mapping[str, Any]) -> list[str]:
    """Sentences: which budget the threshold keeps, what that means in alerts and money, how far probabilities err."""
    if not (quality["threshold_budget"] and quality["intervals"] and quality["test"]):
        return ["What the threshold means in alerts and money was not recorded."]
    return [_budget(quality), _met(quality["test"], quality["intervals"]), *_calibration(quality["intervals"])]


def estimate(value: Any) -> str:
    """A figure with its interval of 95 %; a dash for none, words as they are."""
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value['value']:.3g} ({value['low']:.3g} to {value['high']:.3g})"


def _budget(quality: Mapping[str, Any]) -> str:
    budget = quality["threshold_budget"]
    asked = _BUDGETS[budget["budget"]].format(asked=budget["asked"])
    return (
        f"Flagged is a probability of {quality['threshold']:.4g} or more: the lowest that keeps the budget of at most "
        f"{asked} on the calibration part ({budget['kept_on_calibration']:,.4g} there)."
    )


def _met(test: Mapping[str, float], intervals: Mapping[str, Any]) -> str:
    caught, missed = test["caught_fraud_amount_minor"], test["missed_fraud_amount_minor"]
    share = f" ({caught / (caught + missed):.1%} of the money)" if caught + missed > 0 else ""
    precision = intervals.get("precision")
    return (
        f"On the test part that is {test['alerts_a_day']:,.4g} alerts a day, a false-positive rate of "
        f"{estimate(intervals['false_positive_rate'])}, a recall of {estimate(intervals['recall'])} and a precision "
        f"of {estimate(precision)}: frauds of {caught:,.0f} minor units are caught{share}, {missed:,.0f} are missed."
    )


def _calibration(intervals: Mapping[str, Any]) -> list[str]:
    areas = ", ".join(f"{name} {estimate(intervals[name])}" for name in ("pr_auc", "roc_auc"))
    error = estimate(intervals["expected_calibration_error"])
    return [f"Expected calibration error {error}, {areas}; in brackets the intervals of 95 %."]
