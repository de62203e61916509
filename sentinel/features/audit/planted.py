"""The leaks that everybody has made once, as views beside the honest ones: the audit must see every one of them."""

from __future__ import annotations

from datetime import timedelta

from sentinel.feature_spec import Kind, Statistic
from sentinel.features.spec import DAY, HOUR, WEEK, Aggregate, FeatureSet, FeatureView

_ALWAYS = 36_500 * DAY
_AT_ONCE = timedelta(0)
_MICROSECOND = timedelta(microseconds=1)


def planted_views(wanted: FeatureSet) -> dict[str, FeatureView]:
    """By what a person calls them. All are the customer's: every table has that key."""
    just_before_known = wanted.ingestion_lag - _MICROSECOND
    return {
        "target mean over all rows": _view("planted_target_mean", "labels", _ALWAYS, _ALWAYS, _AT_ONCE),
        "window reaching into the future": _view("planted_future_window", "spending", WEEK, DAY, None),
        "label before it was available": _view("planted_early_label", "labels", WEEK, _AT_ONCE, just_before_known),
        "the transaction's own label": _view("planted_own_label", "labels", HOUR, _AT_ONCE, _AT_ONCE),
        "own amount in its own window": _view("planted_own_amount", "spending", HOUR, _AT_ONCE, _AT_ONCE),
    }


def _view(name: str, kind: Kind, back: timedelta, ahead: timedelta, known_after: timedelta | None) -> FeatureView:
    statistics: tuple[Statistic, ...] = ("label_count", "fraud_count") if kind == "labels" else ("count", "amount_sum")
    aggregates = tuple(Aggregate("customer", statistic, back, ahead) for statistic in statistics)
    return FeatureView("customer", kind, ("customer_id",), aggregates, known_after, planted=name)
