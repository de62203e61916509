"""Derived features, computed inside the graph from the raw inputs: the one place that has their formulas.

Stored aggregates are integers; here they become means, deviations, rates and ratios to the present amount.
The arithmetic is float64 up to the end, because a variance from sums of squares cancels in float32.
A NaN says missing, and stays NaN through every formula; the encoding after it knows what to do with it.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sentinel.model.inputs import TRANSACTION, ModelInputs

MICROSECONDS = 1_000_000
HOUR = 3600
DAY = 24 * HOUR
THURSDAY = 3  # 1970-01-01, counted from Monday
MINOR_FLOOR = 100.0  # added to a deviation, so that a customer of equal amounts gets no endless z-score
EVIDENCE = 10.0  # labels that the general fraud rate weighs in a shrunk rate
EXTREME = 2.0**53  # float64 holds no exact integer beyond it; what is larger counts as missing


@dataclass(frozen=True)
class View:
    """Where the aggregates of one entity and kind stand in `numeric`: statistic -> window (us) -> position."""

    name: str
    kind: str
    positions: Mapping[str, Mapping[int, int]]

    def windows(self, *statistics: str) -> list[int]:
        """The windows, shortest first, for which all of `statistics` are stored."""
        stored = [frozenset(self.positions.get(statistic, {})) for statistic in statistics]
        return sorted(frozenset[int].intersection(*stored))

    def at(self, statistic: str, windows: Sequence[int]) -> list[int]:
        return [self.positions[statistic][window] for window in windows]


def find_views(feature_set: Mapping[str, Any], inputs: ModelInputs) -> list[View]:
    """The views of a feature set, in the order in which it names them."""
    found: dict[str, tuple[str, dict[str, dict[int, int]]]] = {}
    for entry in feature_set["aggregates"]:
        _, positions = found.setdefault(entry["view"], (entry["kind"], {}))
        position = inputs.numeric.index(entry["name"])
        positions.setdefault(entry["statistic"], {})[int(entry["window_us"])] = position
    return [View(name, kind, positions) for name, (kind, positions) in found.items()]


class Columns(nn.Module):
    """Some columns of a table [N, K]; one Gather in the graph."""

    positions: Tensor

    def __init__(self, at: Sequence[int]) -> None:
        super().__init__()
        self.at = tuple(at)
        self.register_buffer("positions", torch.tensor(self.at, dtype=torch.int64), persistent=False)

    def forward(self, table: Tensor) -> Tensor:
        return table.index_select(1, self.positions)


class DerivedFeatures(nn.Module):
    """numeric float64 [N, K] -> derived float32 [N, D]; `names` has the D names."""

    fraud_rate: Tensor

    def __init__(self, inputs: ModelInputs, feature_set: Mapping[str, Any], fraud_rate: float = 0.01) -> None:
        super().__init__()
        self.register_buffer("fraud_rate", torch.tensor(fraud_rate, dtype=torch.float64))
        views = find_views(feature_set, inputs)
        self.spending = nn.ModuleList(Spending(view) for view in views if view.kind == "spending")
        self.labels = nn.ModuleList(Labels(view) for view in views if view.kind == "labels")
        self.ages = Columns([inputs.numeric.index(entry["name"]) for entry in feature_set["ages"]])
        self.declared = Columns([inputs.numeric.index(name) for name in feature_set["numeric"]])
        self.time, self.amount = (inputs.numeric.index(name) for name in TRANSACTION)
        self.names = self._names(inputs)

    def forward(self, numeric: Tensor) -> Tensor:
        raw = torch.where(numeric.abs() <= EXTREME, numeric, torch.nan)
        amount = raw[:, self.amount : self.amount + 1]
        parts = [_log(amount), _calendar(raw[:, self.time : self.time + 1])]
        parts += [view(raw, amount) for view in self.spending]
        parts += [view(raw, self.fraud_rate) for view in self.labels]
        if self.ages.at:
            parts.append(_log(self.ages(raw) / MICROSECONDS))
        if self.declared.at:
            parts.append(_signed_log(self.declared(raw)))
        return torch.cat([part.float() for part in parts], dim=1)

    def _names(self, inputs: ModelInputs) -> tuple[str, ...]:
        names = ["log_amount", *CALENDAR]
        for view in (*self.spending, *self.labels):
            assert isinstance(view, Spending | Labels)
            names += view.names
        names += [f"log_{inputs.numeric[position]}" for position in (*self.ages.at, *self.declared.at)]
        return tuple(names)


class Spending(nn.Module):
    """What an entity spent, and how this amount compares with it."""

    share: Tensor

    def __init__(self, view: View) -> None:
        super().__init__()
        windows = view.windows("count", "amount_sum")
        squared = [window for window in windows if window in view.windows("amount_sum_of_squares")]
        topped = view.windows("amount_max")
        self.counts, self.sums = Columns(view.at("count", windows)), Columns(view.at("amount_sum", windows))
        self.squares = Columns(view.at("amount_sum_of_squares", squared))
        self.tops = Columns(view.at("amount_max", topped))
        self.squared = Columns([windows.index(window) for window in squared])
        longest = windows[-1]
        self.register_buffer(
            "share", torch.tensor([window / longest for window in windows[:-1]], dtype=torch.float64), persistent=False
        )
        plain = ("log_count", "log_sum", "log_mean", "amount_to_mean")
        self.names = [f"{view.name}_{what}_{_span(window)}" for what in plain for window in windows]
        self.names += [f"{view.name}_{what}_{_span(w)}" for what in ("pace", "mean_shift") for w in windows[:-1]]
        self.names += [f"{view.name}_{what}_{_span(w)}" for what in ("log_deviation", "z_score") for w in squared]
        self.names += [f"{view.name}_{what}_{_span(w)}" for what in ("log_max", "amount_to_max") for w in topped]

    def forward(self, raw: Tensor, amount: Tensor) -> Tensor:
        count, total = self.counts(raw), self.sums(raw)
        mean = total / torch.where(count >= 1, count, torch.nan)
        log_amount, log_count, log_mean = _log(amount), _log(count), _log(mean)
        parts = [log_count, _log(total), log_mean, log_amount - log_mean]
        if len(self.counts.at) > 1:
            parts += [log_count[:, :-1] - _log(count[:, -1:] * self.share), log_mean[:, :-1] - log_mean[:, -1:]]
        if self.squares.at:
            known, middle = self.squared(count), self.squared(mean)
            deviation = _deviation(self.squares(raw), known, middle)
            parts += [_log(deviation), _signed_log((amount - middle) / (deviation + MINOR_FLOOR))]
        if self.tops.at:
            log_top = _log(self.tops(raw))
            parts += [log_top, log_amount - log_top]
        return torch.cat(parts, dim=1)


class Labels(nn.Module):
    """What became known of an entity's frauds; a rate of few labels is drawn towards the general one."""

    def __init__(self, view: View) -> None:
        super().__init__()
        windows = view.windows("label_count", "fraud_count")
        self.labels, self.frauds = Columns(view.at("label_count", windows)), Columns(view.at("fraud_count", windows))
        self.names = [
            f"{view.name}_{what}_{_span(window)}"
            for what in ("log_label_count", "log_fraud_count", "log_fraud_rate")
            for window in windows
        ]

    def forward(self, raw: Tensor, fraud_rate: Tensor) -> Tensor:
        labels, frauds = self.labels(raw), self.frauds(raw)
        rate = (frauds + EVIDENCE * fraud_rate) / (labels + EVIDENCE)
        return torch.cat([_log(labels), _log(frauds), _at_least(rate, 1e-9).log()], dim=1)


CALENDAR = ("hour", "hour_sine", "hour_cosine", "weekday_sine", "weekday_cosine", "is_weekend", "is_night")


def _calendar(time: Tensor) -> Tensor:
    """event_timestamp [N, 1] in microseconds -> [N, 7], float32, in UTC."""
    seconds = time / MICROSECONDS
    days = (seconds / DAY).floor()
    hour = ((seconds - days * DAY) / HOUR).float()
    from_monday = days + THURSDAY
    weekday = (from_monday - (from_monday / 7).floor() * 7).float()
    by_hour, by_weekday = hour * (2 * math.pi / 24), weekday * (2 * math.pi / 7)
    weekend = torch.where(weekday >= 5, 1.0, 0.0)
    night = torch.where(hour < 7, 1.0, 0.0)
    return torch.cat([hour, by_hour.sin(), by_hour.cos(), by_weekday.sin(), by_weekday.cos(), weekend, night], dim=1)


def _deviation(squares: Tensor, count: Tensor, mean: Tensor) -> Tensor:
    return _at_least(squares / count - mean * mean, 0.0).sqrt()


def _at_least(value: Tensor, lowest: float) -> Tensor:
    """Not clamp: what becomes of a NaN in it differs between runtimes, in a comparison it does not."""
    return torch.where(value < lowest, lowest, value)


def _log(value: Tensor) -> Tensor:
    """log(1 + value), nothing below 0."""
    return (_at_least(value, 0.0) + 1).log()


def _signed_log(value: Tensor) -> Tensor:
    return value.sign() * (value.abs() + 1).log()


def _span(window_us: int) -> str:
    hours = window_us // (HOUR * MICROSECONDS)
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"
