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
from sentinel.features.applied import VIEWS
from sentinel.features.spec import Aggregate, FeatureSet, FeatureView, feature_set, present_columns, span
from sentinel.paths import Paths

_DEFINITIONS = {
    "count": "transactions",
    "amount_sum": "sum of amounts (minor units)",
    "amount_sum_of_squares": "sum of squared amounts",
    "amount_max": "largest amount (minor units)",
    "distinct_merchants": "different merchants",
    "label_count": "transactions with a label",
    "fraud_count": "transactions labelled fraud",
}
_AMOUNT = ("amount_sum", "amount_sum_of_squares", "amount_max")


@dataclass(frozen=True)
class FeatureEntry:
    """`null_rate` is that of the newest built table; None: none was built."""

    name: str
    view: str
    definition: str
    source_columns: tuple[str, ...]
    window: str | None
    knowable: str
    null_rate: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


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


def _aggregate(wanted: FeatureSet, view: FeatureView, aggregate: Aggregate, rate: float | None) -> FeatureEntry:
    columns = [*view.keys, *_times(wanted, view)]
    if aggregate.statistic in _AMOUNT:
        columns.append("amount_minor")
    if aggregate.statistic == "distinct_merchants":
        columns.append("merchant_id")
    window = span(aggregate.window)
    return FeatureEntry(
        aggregate.name,
        view.name,
        _DEFINITIONS[aggregate.statistic],
        tuple(columns),
        window,
        _knowable(wanted, view),
        rate,
    )


def _age(wanted: FeatureSet, view: FeatureView, rate: float | None) -> FeatureEntry:
    return FeatureEntry(
        view.age,
        view.name,
        f"microseconds since the {view.entity}'s last {view.kind} row became knowable",
        (*view.keys, *_times(wanted, view)),
        None,
        _knowable(wanted, view),
        rate,
    )


def _times(wanted: FeatureSet, view: FeatureView) -> list[str]:
    columns = ["event_timestamp"]
    if wanted.has_recorded_at:
        columns.append("recorded_at")
    if view.kind == "labels":
        columns += ["is_fraud", *(["label_available_at"] if wanted.has_label_available_at else [])]
    return columns


def _knowable(wanted: FeatureSet, view: FeatureView) -> str:
    recorded = "recorded_at" if wanted.has_recorded_at else "event_timestamp"
    if view.kind == "spending":
        return f"{span(wanted.ingestion_lag)} after {recorded}"
    if wanted.has_label_available_at:
        return "at label_available_at"
    return f"{span(wanted.label_delay)} after event_timestamp"
