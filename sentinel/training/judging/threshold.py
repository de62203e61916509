"""The decision threshold: a stated budget, kept on the calibration part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sentinel.config import Training
from sentinel.metrics import threshold_at_alerts, threshold_at_fpr

DAY_US = 86_400_000_000

Budget = Literal["alerts_a_day", "false_positive_rate"]


@dataclass(frozen=True)
class Threshold:
    """Flag at `value` or above. `asked` and `kept_on_calibration` are in the unit of the budget."""

    value: float
    budget: Budget
    asked: float
    kept_on_calibration: float


def choose_threshold(
    settings: Training, labels: NDArray[np.bool_], scores: NDArray[np.float64], moments_us: NDArray[np.int64]
) -> Threshold:
    """The lowest threshold within the budget, on calibration rows of these times (microseconds since 1970, UTC)."""
    if settings.alerts_a_day is not None:
        days = counted_days(moments_us)
        value = threshold_at_alerts(scores, settings.alerts_a_day * days)
        kept = float((scores >= value).sum()) / days
        return Threshold(value, "alerts_a_day", settings.alerts_a_day, kept)
    if settings.false_positive_rate is None:
        raise ValueError("the settings name neither alerts_a_day nor false_positive_rate")
    value = threshold_at_fpr(labels, scores, settings.false_positive_rate)
    kept = float((scores[~labels] >= value).mean())
    return Threshold(value, "false_positive_rate", settings.false_positive_rate, kept)


def counted_days(moments_us: NDArray[np.int64]) -> int:
    """By how many days the alerts of rows of these times are divided; never too many, which would break a budget.

    Dates (UTC) without a row lend nothing to the others; seven days from noon to noon are seven, not eight dates.
    """
    dates = len(np.unique(moments_us // DAY_US))
    elapsed = math.ceil(int(moments_us.max() - moments_us.min()) / DAY_US)
    return max(1, min(dates, elapsed))
