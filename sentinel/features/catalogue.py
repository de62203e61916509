"""Each feature in words, for a person who asks what it is and when its value was known."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sentinel.features.spec import Aggregate, FeatureSet, FeatureView
from sentinel.features.store import VIEWS
from sentinel.paths import Paths

_DEFINITIONS = {
    "count": "transactions",
    "amount_sum": "sum of amounts, in minor units",
    "amount_sum_of_squares": "sum of squared amounts, in minor units",
    "amount_max": "largest amount, in minor units",
    "label_count": "transactions whose label arrived",
    "fraud_count": "transactions that were labelled fraud",
}
_AMOUNT = ("amount_sum", "amount_sum_of_squares", "amount_max")


@dataclass(frozen=True)
class FeatureEntry:
    """`null_rate` is that of the newest built table; None: none was built."""

    name: str
    definition: str
    source_columns: tuple[str, ...]
    window: str | None
    knowable: str
    null_rate: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def list_features(feature_set: FeatureSet, built: Path | None) -> list[FeatureEntry]:
    """Every feature of the set; `built`: the folder of a built table."""
    rates = _null_rates(built) if built else {}
    aggregates = [
        _aggregate(feature_set, view, aggregate, rates.get(aggregate.name))
        for view in feature_set.views
        for aggregate in view.aggregates
    ]
    ages = [_age(feature_set, view, rates.get(view.age)) for view in feature_set.views]
    return [*aggregates, *ages]


def newest_table(paths: Paths, name: str, feature_set: FeatureSet) -> Path | None:
    """The folder of the newest complete table with this feature set and its view files."""
    found = [
        file.parent
        for file in paths.stage(name, "features", "any").parent.glob("*/feature_set.json")
        if json.loads(file.read_text())["hash"] == feature_set.hash and (file.parent / VIEWS).is_dir()
    ]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def _null_rates(built: Path) -> dict[str, float]:
    record: dict[str, Any] = json.loads((built / "features.json").read_text())["features"]
    return {name: summary["null_rate"] for name, summary in record.items()}


def _aggregate(feature_set: FeatureSet, view: FeatureView, aggregate: Aggregate, rate: float | None) -> FeatureEntry:
    columns = [view.key, *_times(feature_set, view)]
    if aggregate.statistic in _AMOUNT:
        columns.append("amount_minor")
    window = aggregate.name.rpartition("_")[2]
    return FeatureEntry(
        aggregate.name, _DEFINITIONS[aggregate.statistic], tuple(columns), window, _knowable(feature_set, view), rate
    )


def _age(feature_set: FeatureSet, view: FeatureView, rate: float | None) -> FeatureEntry:
    return FeatureEntry(
        view.age,
        f"microseconds since the {view.entity}'s last {view.kind} row became knowable",
        (view.key, *_times(feature_set, view)),
        None,
        _knowable(feature_set, view),
        rate,
    )


def _times(feature_set: FeatureSet, view: FeatureView) -> list[str]:
    columns = ["event_timestamp"]
    if feature_set.has_recorded_at:
        columns.append("recorded_at")
    if view.kind == "labels":
        columns += ["is_fraud", *(["label_available_at"] if feature_set.has_label_available_at else [])]
    return columns


def _knowable(feature_set: FeatureSet, view: FeatureView) -> str:
    recorded = "recorded_at" if feature_set.has_recorded_at else "event_timestamp"
    if view.kind == "spending":
        return f"{feature_set.ingestion_lag} after {recorded}"
    if feature_set.has_label_available_at:
        return "at label_available_at"
    return f"{feature_set.label_delay} after event_timestamp"
