"""Bounds, lengths and gates that fit what the file holds: [validation], [features], [splits] and [gates]."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel.config import SplitTimes, Validation
from sentinel.data.guess_document import Certainty, Guess

DAY_US, HOUR_US, MINUTE_US = 86_400_000_000, 3_600_000_000, 60_000_000
ENOUGH_FRAUDS = 100  # in each part, for the usual lengths
FEW_FRAUDS = 10
PARTS = ("train", "validation", "calibration", "test")
SHARES = {"validation": 0.15, "calibration": 0.15, "test": 0.2}  # of the time that can be shared out
LATE_LABELS = 0.99  # of the known delays lie within the maturity


@dataclass(frozen=True)
class Timeline:
    """The kept rows by time: event [N] in microseconds, fraud [N], labelled [N]; delays of the labels, if known.

    `every`: a kept row stands for so many.
    """

    event: NDArray[np.int64]
    fraud: NDArray[np.bool_]
    labelled: NDArray[np.bool_]
    delays: NDArray[np.int64] | None
    every: int

    @property
    def span(self) -> int:
        return int(self.event.max() - self.event.min()) if len(self.event) else 0


def make_timeline(values: Mapping[str, NDArray[Any]], every: int) -> Timeline:
    """From event_timestamp, and is_fraud and label_available_at where there are such, as ingestion reads them."""
    event, known = _filled(values["event_timestamp"])
    fraud, labelled = _filled(values["is_fraud"]) if "is_fraud" in values else (np.zeros(len(event)), ~known & known)
    delays = None
    if "label_available_at" in values:
        available, arrived = _filled(values["label_available_at"])
        delays = (available - event)[known & arrived].astype(np.int64)
    return Timeline(
        event[known].astype(np.int64), fraud[known].astype(bool) & labelled[known], labelled[known], delays, every
    )


def _filled(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    if isinstance(values, np.ma.MaskedArray):
        return values.filled(0), ~np.ma.getmaskarray(values)
    return values, np.ones(len(values), bool)


def guess_validation(timeline: Timeline | None, amounts: NDArray[np.int64], rows: int) -> Iterator[Guess]:
    """Only the bounds that the file would break as they are, or that depend on it."""
    usual = Validation()
    if rows < 2 * usual.min_rows:
        yield _validation("min_rows", max(1, rows // 2), "guess", f"The file has {rows:,} rows.")
    if len(amounts):
        yield from _amount_bounds(amounts, usual)
    if timeline is None or not len(timeline.event):
        return
    yield from _fraud_bounds(timeline, usual)
    empty = _empty_days(timeline.event)
    if empty > usual.max_empty_days_fraction:
        reason = f"{empty:.1%} of the days between the first and the last have no transaction."
        yield _validation("max_empty_days_fraction", _rounded_up(empty), "guess", reason)


def _validation(key: str, value: Any, certainty: Certainty, reason: str) -> Guess:
    return Guess("validation", key, value, certainty, reason)


def _amount_bounds(amounts: NDArray[np.int64], usual: Validation) -> Iterator[Guess]:
    largest = int(np.abs(amounts.astype(np.float64)).max())
    bound = 10 ** math.ceil(math.log10(max(10, 2 * largest)))
    reason = f"In the minor unit. The largest amount is {largest:,}; what is far beyond it is more likely a wrong unit."
    yield _validation("max_amount_minor", bound, "guess", reason)
    nonpositive = float((amounts <= 0).mean())
    if nonpositive > usual.max_nonpositive_fraction / 2:
        reason = f"{nonpositive:.1%} of the amounts are zero or negative. Are these refunds?"
        yield _validation("max_nonpositive_fraction", _rounded_up(nonpositive), "guess", reason)


def _fraud_bounds(timeline: Timeline, usual: Validation) -> Iterator[Guess]:
    labelled = int(timeline.labelled.sum())
    if not labelled:
        return
    rate = int(timeline.fraud.sum()) / labelled
    told = f"{rate:.3%} of the labelled transactions are frauds."
    if rate < 5 * usual.min_fraud_rate:
        yield _validation("min_fraud_rate", _rounded_down(rate / 5), "guess", told)
    if rate > usual.max_fraud_rate / 2:
        yield _validation("max_fraud_rate", _rounded_up(min(1.0, 2 * rate)), "guess", told)


def _empty_days(event: NDArray[np.int64]) -> float:
    days = np.unique(event // DAY_US)
    return 1 - len(days) / int(days[-1] - days[0] + 1)


def _rounded_up(share: float) -> float:
    return min(1.0, math.ceil(share * 24) / 20)


def _rounded_down(share: float) -> float:
    return 0.0 if share <= 0 else float(f"{share:.0e}")


@dataclass(frozen=True)
class Lengths:
    """Of the parts, in microseconds."""

    history: int
    maturity: int
    parts: Mapping[str, int]

    @property
    def needed(self) -> int:
        return self.history + sum(self.parts.values()) + 4 * self.maturity


def guess_times(timeline: Timeline) -> Iterator[Guess]:
    """Label delay, maturity and the parts, with the frauds that each would hold."""
    maturity, certainty, reason = _maturity(timeline)
    if timeline.delays is None:
        yield Guess("features", "label_delay", duration(maturity), "guess", _DELAY)
    lengths = plan_lengths(timeline, maturity)
    rows, frauds = _counts(timeline, lengths)
    told = "; ".join(f"{name} {rows[name]:,} rows, {frauds[name]:,} frauds" for name in PARTS)
    days = timeline.span / DAY_US
    poor = [name for name in PARTS if frauds[name] < FEW_FRAUDS]
    if lengths.needed >= timeline.span:
        poor, told = list(PARTS), "the file spans too little time for all parts"
    first = f"The file spans {days:,.1f} days; so the parts hold about: {told}."
    if poor:
        first += f" That is too little to learn or judge in {', '.join(poor)}: bring more data or other lengths."
    yield Guess("splits", "history", duration(lengths.history), "guess" if poor else "sure", first)
    for name, length in lengths.parts.items():
        yield Guess("splits", name, duration(length), "guess" if poor else "sure", "")
    yield Guess("splits", "label_maturity", duration(maturity), certainty, reason)
    yield from _unlabelled(timeline, maturity)


_DELAY = (
    "The file does not say when a label became known. How long after a transaction does the bank know, at the latest? "
    '"0s" where labels are known at once.'
)


def _maturity(timeline: Timeline) -> tuple[int, Certainty, str]:
    most = timeline.span // 12
    if timeline.delays is None or not len(timeline.delays):
        usual = next((length for length in (7 * DAY_US, 2 * DAY_US, 12 * HOUR_US, HOUR_US) if length <= most), 0)
        return usual, "guess", "As long as label_delay: a transaction is judged when its label must be known."
    late = int(np.quantile(timeline.delays, LATE_LABELS))
    longest = _whole(max(0, late), up=True)
    told = f"{LATE_LABELS:.0%} of the labels arrive within {late / DAY_US:,.1f} days."
    if longest <= 2 * most:
        return longest, "sure", told
    return _whole(most), "guess", f"{told} So long gaps do not fit the file; later labels would be counted as genuine."


def _unlabelled(timeline: Timeline, maturity: int) -> Iterator[Guess]:
    """What a mature transaction without a label counts as, where there are such."""
    mature = timeline.event <= timeline.event.max() - maturity
    lacking = float(1 - timeline.labelled[mature].mean()) if mature.any() else 0.0
    if not lacking or not timeline.labelled.any():
        return
    reason = f"{lacking:.1%} of the mature transactions have no label. Are they genuine, or left out (false)?"
    yield Guess("splits", "unlabelled_is_genuine", True, "guess", reason)
    if lacking > 1 - Validation().min_labelled_fraction:
        yield _validation("min_labelled_fraction", _rounded_down(max(0.0, 0.8 * (1 - lacking))), "guess", reason)


def plan_lengths(timeline: Timeline, maturity: int) -> Lengths:
    """The usual lengths where each part then has frauds enough; else shares of the time there is."""
    usual = SplitTimes()
    whole = {name: getattr(usual, name) // timedelta(microseconds=1) for name in SHARES}
    lengths = Lengths(usual.history // timedelta(microseconds=1), maturity, whole)
    if lengths.needed <= 0.7 * timeline.span and min(_counts(timeline, lengths)[1].values()) >= ENOUGH_FRAUDS:
        return lengths
    history = _whole(min(lengths.history, timeline.span // 8))
    left = max(0, timeline.span - history - 4 * maturity)
    return Lengths(
        history, maturity, {name: max(MINUTE_US, _whole(int(share * left))) for name, share in SHARES.items()}
    )


def _counts(timeline: Timeline, lengths: Lengths) -> tuple[dict[str, int], dict[str, int]]:
    """Rows and frauds of each part, as the split stage counts them back from the end."""
    end = int(timeline.event.max()) + 1 - lengths.maturity
    rows: dict[str, int] = {}
    frauds: dict[str, int] = {}
    for name in ("test", "calibration", "validation", "train"):
        start = end - lengths.parts[name] if name != "train" else int(timeline.event.min()) + lengths.history
        inside = (timeline.event >= start) & (timeline.event < end)
        rows[name] = int(inside.sum()) * timeline.every
        frauds[name] = int(timeline.fraud[inside].sum()) * timeline.every
        end = start - lengths.maturity
    return rows, frauds


def _whole(length: int, *, up: bool = False) -> int:
    """Cut to whole days, hours or minutes, whichever is coarse but keeps most of it."""
    unit = DAY_US if length >= 2 * DAY_US else HOUR_US if length >= 2 * HOUR_US else MINUTE_US
    return -(-length // unit) * unit if up else length // unit * unit


def duration(length: int) -> str:
    for unit, letter in ((DAY_US, "d"), (HOUR_US, "h"), (MINUTE_US, "m")):
        if length and length % unit == 0:
            return f"{length // unit}{letter}"
    return f"{length // 1_000_000}s"


def guess_gates(timeline: Timeline | None) -> Iterator[Guess]:
    """A floor that a random order does not reach."""
    labelled = int(timeline.labelled.sum()) if timeline else 0
    if timeline is None or not labelled:
        reason = "What must a model reach at least? Without labels no value can be proposed; 0.1 is a placeholder."
        yield Guess("gates", "min_pr_auc", 0.1, "guess", reason)
        return
    rate = int(timeline.fraud.sum()) / labelled
    floor = round(max(0.01, min(4 * rate, (1 + 2 * rate) / 3)), 2)
    reason = f"A random order has about {rate:.4f}, the share of frauds. Raise it to what your bank expects of a model."
    yield Guess("gates", "min_pr_auc", floor, "guess", reason)
