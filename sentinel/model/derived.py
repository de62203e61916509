"""Derived features, computed inside the graph from the raw inputs: the one place that has their formulas.

Stored aggregates are integers; here they become means, deviations, rates and ratios to the present amount.
The arithmetic is float64 up to the end, because a variance from sums of squares cancels in float32.
A missing value stays missing through every formula; the encoding after it knows what to do with it.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sentinel.model.arithmetic import (
    DAY,
    HOUR,
    MICROSECONDS,
    at_least,
    deviation_of,
    log_of,
    mean_of,
    signed_log,
    span,
    z_score,
)
from sentinel.model.genuine import Genuine
from sentinel.model.inputs import TRANSACTION, ModelInputs
from sentinel.model.views import Columns, View, find_views

AGE = "_age_us"
THURSDAY = 3  # 1970-01-01, counted from Monday
EVIDENCE = 10.0  # labels that the general fraud rate weighs in a shrunk rate
EXTREME = 2.0**53  # float64 holds no exact integer beyond it; what is larger counts as missing


class DerivedFeatures(nn.Module):
    """numeric float64 [N, K] -> derived float32 [N, D]; `names` has the D names."""

    fraud_rate: Tensor

    def __init__(self, inputs: ModelInputs, feature_set: Mapping[str, Any], fraud_rate: float = 0.01) -> None:
        super().__init__()
        self.register_buffer("fraud_rate", torch.tensor(fraud_rate, dtype=torch.float64))
        views = find_views(feature_set, inputs)
        self.spending = nn.ModuleList(Spending(view) for view in views if view.kind == "spending")
        self.labels = nn.ModuleList(Labels(view) for view in views if view.kind == "labels")
        spending = {view.entity: view for view in views if view.kind == "spending"}
        proven = [view for view in views if view.windows("genuine_amount_sum", "label_count", "fraud_count")]
        self.genuine = nn.ModuleList(Genuine(view, spending.get(view.entity)) for view in proven)
        self.ages = Columns([inputs.numeric.index(entry["name"]) for entry in feature_set["ages"]])
        pairs = [entry for entry in feature_set["ages"] if len(entry["keys"]) > 1]
        self.pair_ages = Columns([inputs.numeric.index(entry["name"]) for entry in pairs])
        self.declared = Columns([inputs.numeric.index(name) for name in feature_set["numeric"]])
        self.time, self.amount = (inputs.numeric.index(name) for name in TRANSACTION)
        self.names = self._names(inputs)

    def forward(self, numeric: Tensor) -> Tensor:
        raw = torch.where(numeric.abs() <= EXTREME, numeric, torch.nan)
        amount = raw[:, self.amount : self.amount + 1]
        time = raw[:, self.time : self.time + 1]
        parts = [log_of(amount), _calendar(time)]
        parts += [view(raw, amount) for view in self.spending]
        parts += [view(raw, time, self.fraud_rate) for view in self.labels]
        parts += [view(raw, amount) for view in self.genuine]
        if self.ages.at:
            parts.append(log_of(self.ages(raw) / MICROSECONDS))
        if self.pair_ages.at:
            parts.append(torch.where(self.pair_ages(raw).isnan(), 1.0, 0.0))
        if self.declared.at:
            parts.append(signed_log(self.declared(raw)))
        return torch.cat([part.float() for part in parts], dim=1)

    def _names(self, inputs: ModelInputs) -> tuple[str, ...]:
        names = ["log_amount", *CALENDAR]
        for view in (*self.spending, *self.labels, *self.genuine):
            assert isinstance(view, Spending | Labels | Genuine)
            names += view.names
        names += [f"log_{inputs.numeric[position]}" for position in self.ages.at]
        names += [f"{inputs.numeric[position].removesuffix(AGE)}_first_meeting" for position in self.pair_ages.at]
        names += [f"log_{inputs.numeric[position]}" for position in self.declared.at]
        return tuple(names)


class Spending(nn.Module):
    """What an entity spent, and how this amount compares with it."""

    share: Tensor

    def __init__(self, view: View) -> None:
        super().__init__()
        counted, summed = view.windows("count"), view.windows("amount_sum")
        meant = view.windows("count", "amount_sum")
        squared = view.windows("count", "amount_sum", "amount_sum_of_squares")
        topped, told = view.windows("amount_max"), view.windows("distinct_merchants")
        compared = view.windows("count", "distinct_merchants")
        self.counts, self.sums = Columns(view.at("count", counted)), Columns(view.at("amount_sum", summed))
        self.squares = Columns(view.at("amount_sum_of_squares", squared))
        self.tops = Columns(view.at("amount_max", topped))
        self.distinct = Columns(view.at("distinct_merchants", told))
        self.mean_counts = Columns([counted.index(window) for window in meant])
        self.mean_sums = Columns([summed.index(window) for window in meant])
        self.squared = Columns([meant.index(window) for window in squared])
        self.compared_counts = Columns([counted.index(window) for window in compared])
        self.compared_distinct = Columns([told.index(window) for window in compared])
        share = [window / counted[-1] for window in counted[:-1]]
        self.register_buffer("share", torch.tensor(share, dtype=torch.float64), persistent=False)
        windows = {
            "log_count": counted, "pace": counted[:-1], "log_sum": summed,
            "log_mean": meant, "amount_to_mean": meant, "mean_shift": meant[:-1],
            "log_deviation": squared, "z_score": squared, "log_max": topped, "amount_to_max": topped,
            "log_distinct_merchants": told, "payments_a_merchant": compared,
        }  # fmt: skip
        self.names = [f"{view.name}_{what}_{span(window)}" for what, found in windows.items() for window in found]

    def forward(self, raw: Tensor, amount: Tensor) -> Tensor:
        """[N, len(names)], in the order of `names`."""
        count, total = self.counts(raw), self.sums(raw)
        known = self.mean_counts(count)
        mean = mean_of(self.mean_sums(total), known)
        log_amount, log_count, log_mean = log_of(amount), log_of(count), log_of(mean)
        parts: list[Tensor] = []
        if self.counts.at:
            parts += [log_count, log_count[:, :-1] - log_of(count[:, -1:] * self.share)]
        if self.sums.at:
            parts.append(log_of(total))
        if self.mean_counts.at:
            parts += [log_mean, log_amount - log_mean, log_mean[:, :-1] - log_mean[:, -1:]]
        if self.squares.at:
            middle = self.squared(mean)
            deviation = deviation_of(self.squares(raw), self.squared(known), middle)
            parts += [log_of(deviation), z_score(amount, middle, deviation)]
        if self.tops.at:
            log_top = log_of(self.tops(raw))
            parts += [log_top, log_amount - log_top]
        if self.distinct.at:
            log_distinct = log_of(self.distinct(raw))
            parts += [log_distinct, self.compared_counts(log_count) - self.compared_distinct(log_distinct)]
        return torch.cat(parts, dim=1)


class Labels(nn.Module):
    """What became known of an entity's frauds; a rate of few labels is drawn towards the general one.

    A merchant whose terminal was taken over brings frauds from then on, until it is free: a genuine payment after the
    first fraud says that it is free again or never was taken.
    """

    def __init__(self, view: View) -> None:
        super().__init__()
        labelled, found = view.windows("label_count"), view.windows("fraud_count")
        rated = view.windows("label_count", "fraud_count")
        self.labels, self.frauds = Columns(view.at("label_count", labelled)), Columns(view.at("fraud_count", found))
        first, last, genuine = (view.windows(name) for name in ("first_fraud_at", "last_fraud_at", "last_genuine_at"))
        compared = view.windows("first_fraud_at", "last_genuine_at")
        self.rated_labels = Columns([labelled.index(window) for window in rated])
        self.rated_frauds = Columns([found.index(window) for window in rated])
        self.first_frauds = Columns(view.at("first_fraud_at", first))
        self.last_frauds = Columns(view.at("last_fraud_at", last))
        self.last_genuine = Columns(view.at("last_genuine_at", genuine))
        self.compared_first = Columns(view.at("first_fraud_at", compared))
        self.compared_genuine = Columns(view.at("last_genuine_at", compared))
        windows = {
            "log_label_count": labelled, "log_fraud_count": found, "log_fraud_rate": rated,
            "log_first_fraud_age": first, "log_last_fraud_age": last, "log_last_genuine_age": genuine,
            "genuine_after_first_fraud": compared,
        }  # fmt: skip
        self.names = [f"{view.name}_{what}_{span(window)}" for what, of in windows.items() for window in of]

    def forward(self, raw: Tensor, time: Tensor, fraud_rate: Tensor) -> Tensor:
        """[N, len(names)], in the order of `names`."""
        labels, frauds = self.labels(raw), self.frauds(raw)
        parts: list[Tensor] = []
        if self.labels.at:
            parts.append(log_of(labels))
        if self.frauds.at:
            parts.append(log_of(frauds))
        if self.rated_labels.at:
            rate = (self.rated_frauds(frauds) + EVIDENCE * fraud_rate) / (self.rated_labels(labels) + EVIDENCE)
            parts.append(at_least(rate, 1e-9).log())
        moments = [self.first_frauds, self.last_frauds, self.last_genuine]
        parts += [log_age(columns(raw), time) for columns in moments if columns.at]
        if self.compared_first.at:
            parts.append(log_age(self.compared_first(raw), time) - log_age(self.compared_genuine(raw), time))
        return torch.cat(parts, dim=1)


def log_age(moment: Tensor, time: Tensor) -> Tensor:
    """log(1 + seconds) since `moment` [N, K], as of `time` [N, 1], both in microseconds."""
    return log_of((time - moment) / MICROSECONDS)


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
