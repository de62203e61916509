"""Every feature set that is online: what the store has a note of, so those of candidate, champion and challenger."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyarrow import parquet

from sentinel.errors import ConfigInvalid, RecordInvalid
from sentinel.features.applied import applied_versions
from sentinel.features.online.latest import TABLE
from sentinel.features.online.proof import subject
from sentinel.features.online.rows import OnlineRows
from sentinel.features.online.stream.schema import Fields, KeyType
from sentinel.features.spec import FeatureSet
from sentinel.paths import Paths


@dataclass(frozen=True)
class OnlineSet:
    """`table`: the folder of the built table. `until_us`: the store holds what it says up to then."""

    feature_set: FeatureSet
    table: Path
    end_us: int
    until_us: int


def online_sets(paths: Paths, name: str, rows: OnlineRows) -> list[OnlineSet]:
    """Those of which the store holds rows, the one with the newest data first. Raises ConfigInvalid for none.

    Raises RecordInvalid for sets that cannot be streamed together.
    """
    found: list[OnlineSet] = []
    for record in applied_versions(paths, name):
        noted = rows.noted(subject(record["feature_set"]["hash"]))
        if not noted:
            continue
        materialized = json.loads(noted)
        found.append(
            OnlineSet(
                FeatureSet.from_dict(record["feature_set"]),
                paths.absolute(record["views"]).parent,
                materialized["end_us"],
                min((view["until_us"] for view in materialized["views"]), default=materialized["end_us"]),
            )
        )
    if not found:
        raise ConfigInvalid(
            f"No features of {name} are online, so that a stream has nothing to go on from. Run "
            "`sentinel features materialize` first."
        )
    found.sort(key=lambda each: each.end_us, reverse=True)
    _require_one_clock([each.feature_set for each in found])
    return found


def event_fields(sets: Sequence[OnlineSet]) -> Fields:
    """The fields of events that serve all these sets; declared columns are those of the newest table."""
    fields = table_fields(sets[0].table, sets[0].feature_set)
    keys = dict(fields.keys)
    for each in sets[1:]:
        for key, kind in table_fields(each.table, each.feature_set).keys.items():
            if keys.setdefault(key, kind) != kind:
                raise RecordInvalid(
                    f"The key {key} is {keys[key]} in one feature set that is online and {kind} in another. "
                    "Materialize one of them anew from the data as they are now."
                )
    return replace(fields, keys=keys)


def table_fields(table: Path, wanted: FeatureSet) -> Fields:
    """The fields of events that go on from a built table."""
    schema = parquet.read_schema(table / TABLE)
    kinds: dict[str, KeyType] = {
        name: "int64" if str(schema.field(name).type) == "int64" else "string"
        for name in ("transaction_id", "customer_id", *wanted.keys)
    }
    texts = {name for name in schema.names if "string" in str(schema.field(name).type)}
    declared = [name for name in schema.names if name in {*wanted.numeric, *wanted.categorical, *wanted.slices}]
    return Fields(
        transaction_id=kinds.pop("transaction_id"),
        keys=kinds,
        numeric=[name for name in declared if name not in texts],
        categorical=[name for name in declared if name in texts],
        has_recorded_at=wanted.has_recorded_at,
        has_label_available_at=wanted.has_label_available_at,
    )


def _require_one_clock(sets: Sequence[FeatureSet]) -> None:
    moments = {(each.has_recorded_at, each.has_label_available_at) for each in sets}
    if len(moments) > 1:
        raise RecordInvalid(
            "Feature sets are online of which one knows recorded_at or label_available_at and another does not "
            f"({', '.join(each.short_hash for each in sets)}): one event cannot serve both. Retire the older model."
        )
