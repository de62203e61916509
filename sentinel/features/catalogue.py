"""Each feature in words, for a person who asks what it is and when its value was known."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyarrow import parquet

from sentinel.config import Columns, Features
from sentinel.errors import DataContractError
from sentinel.feature_spec import Statistic
from sentinel.features.applied import VIEWS
from sentinel.features.spec import Aggregate, FeatureSet, FeatureView, feature_set, present_columns, span
from sentinel.paths import Paths

_DEFINITIONS: dict[Statistic, str] = {
    "count": "transactions",
    "amount_sum": "sum of amounts",
    "amount_sum_of_squares": "sum of squared amounts",
    "amount_max": "largest amount",
    "distinct_merchants": "different merchants",
    "label_count": "transactions with a label",
    "fraud_count": "transactions labelled fraud",
    "first_fraud_at": "when the earliest transaction labelled fraud happened (us)",
    "last_fraud_at": "when the latest transaction labelled fraud happened (us)",
    "last_genuine_at": "when the latest transaction labelled genuine happened (us)",
    "genuine_amount_sum": "sum of amounts labelled genuine",
    "genuine_amount_sum_of_squares": "sum of squared amounts labelled genuine",
    "genuine_amount_max": "largest amount labelled genuine",
}
_READS: dict[Statistic, str] = {
    "amount_sum": "amount_minor",
    "amount_sum_of_squares": "amount_minor",
    "amount_max": "amount_minor",
    "distinct_merchants": "merchant_id",
    "fraud_count": "is_fraud",
    "genuine_amount_sum": "amount_minor",
    "genuine_amount_sum_of_squares": "amount_minor",
    "genuine_amount_max": "amount_minor",
}


@dataclass(frozen=True)
class FeatureEntry:
    """`group`: its name without the window; `source_columns`: in the contract's names; `knowable`: when, as a rule.

    `null_rate` is that of the newest built table; None: none was built.
    """

    name: str
    view: str
    group: str
    definition: str
    source_columns: tuple[str, ...]
    window: str | None
    knowable: str
    null_rate: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ViewEntry:
    """The features of one view: rows that become knowable together, by one rule, from the same columns."""

    name: str
    source_columns: tuple[str, ...]
    knowable: str
    ttl: str
    features: tuple[FeatureEntry, ...]


def list_views(wanted: FeatureSet, built: Path | None) -> list[ViewEntry]:
    """The views with their features; `built`: the folder of a built table."""
    entries = list_features(wanted, built)
    return [_view(wanted, view, [entry for entry in entries if entry.view == view.name]) for view in wanted.views]


def list_features(wanted: FeatureSet, built: Path | None) -> list[FeatureEntry]:
    """Every feature of the set; `built`: the folder of a built table."""
    rates = _null_rates(built) if built else {}
    aggregates = [
        _aggregate(wanted, view, aggregate, rates.get(aggregate.name))
        for view in wanted.views
        for aggregate in view.aggregates
    ]
    ages = [_age(wanted, view, rates.get(view.age)) for view in wanted.views]
    return [*aggregates, *ages]


def newest_table(paths: Paths, name: str, columns: Columns, features: Features) -> tuple[Path, FeatureSet] | None:
    """The folder and the feature set of the newest complete table that this configuration built."""
    folders = [file.parent for file in paths.stage(name, "features", "any").parent.glob("*/feature_set.json")]
    for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True):
        wanted = _wanted_of(folder, columns, features)
        stored = json.loads((folder / "feature_set.json").read_text())["hash"]
        if wanted is not None and wanted.hash == stored and (folder / VIEWS).is_dir():
            return folder, wanted
    return None


def _wanted_of(folder: Path, columns: Columns, features: Features) -> FeatureSet | None:
    """What the configuration asks of this table's data, which may lack optional columns; None: they do not fit it."""
    try:
        return feature_set(present_columns(columns, parquet.read_schema(folder / "features.parquet").names), features)
    except (OSError, DataContractError):
        return None


def _null_rates(built: Path) -> dict[str, float]:
    record: dict[str, Any] = json.loads((built / "features.json").read_text())["features"]
    return {name: summary["null_rate"] for name, summary in record.items()}


def _view(wanted: FeatureSet, view: FeatureView, features: list[FeatureEntry]) -> ViewEntry:
    columns = dict.fromkeys(column for entry in features for column in entry.source_columns)
    return ViewEntry(view.name, tuple(columns), _knowable(wanted, view), span(view.ttl), tuple(features))


def _aggregate(wanted: FeatureSet, view: FeatureView, aggregate: Aggregate, rate: float | None) -> FeatureEntry:
    read = _READS.get(aggregate.statistic)
    ahead = f", and {span(aggregate.ahead)} ahead: a leak" if aggregate.ahead else ""
    return FeatureEntry(
        name=aggregate.name,
        view=view.name,
        group=f"{view.entity}_{aggregate.statistic}",
        definition=_DEFINITIONS[aggregate.statistic] + ahead,
        source_columns=tuple(dict.fromkeys([*_always_read(wanted, view), *([read] if read else [])])),
        window=span(aggregate.window),
        knowable=_knowable(wanted, view),
        null_rate=rate,
    )


def _age(wanted: FeatureSet, view: FeatureView, rate: float | None) -> FeatureEntry:
    return FeatureEntry(
        name=view.age,
        view=view.name,
        group=view.age,
        definition="age of its last row (us)",
        source_columns=_always_read(wanted, view),
        window=None,
        knowable=_knowable(wanted, view),
        null_rate=rate,
    )


def _always_read(wanted: FeatureSet, view: FeatureView) -> tuple[str, ...]:
    """What decides whose a row is, and when it is known."""
    columns = [*view.keys, "event_timestamp"]
    if wanted.has_recorded_at:
        columns += ["transaction_id", "recorded_at"]  # a correction replaces an earlier version
    if view.kind == "labels":
        columns += ["is_fraud", *(["label_available_at"] if wanted.has_label_available_at else [])]
    return tuple(columns)


def _knowable(wanted: FeatureSet, view: FeatureView) -> str:
    if view.known_after is not None:
        return f"{span(view.known_after)} after event_timestamp, against the rules of time"
    recorded = f"{span(wanted.ingestion_lag)} after {'recorded_at' if wanted.has_recorded_at else 'event_timestamp'}"
    if view.kind == "spending":
        return recorded
    if wanted.has_label_available_at:
        return f"at label_available_at, at the earliest {recorded}"
    return f"{span(wanted.label_delay)} after event_timestamp"
