"""The one definition of every stored feature: what a FeatureSpec asks of the columns that a data set has.

From it come the build, the Feast entities, views and services, feature_set.json and the feature-set hash.
An aggregate holds what became knowable in `(t - window, t]`, as of the key's last knowable event. A mean, a rate,
a ratio is none of this: the model derives it from these integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal

from sentinel.config import Column, Columns, Features
from sentinel.errors import ConfigInvalid, DataContractError, RecordInvalid
from sentinel.feature_spec import Kind, Statistic, ViewSpec
from sentinel.storage import sha256_json

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)

_MICROSECOND = timedelta(microseconds=1)
_SHORT_HASH = 12


def microseconds(duration: timedelta) -> int:
    return duration // _MICROSECOND


def span(length: timedelta) -> str:
    """`7d`, `36h`, `90m`: the largest unit that divides it."""
    seconds = length // timedelta(seconds=1)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


@dataclass(frozen=True)
class Aggregate:
    """One integer column: `statistic` over the last `window` of one entity's knowable events.

    `ahead`: how far the window reaches beyond its row's moment; anything but 0 is a leak, for the audit to catch.
    """

    entity: str
    statistic: Statistic
    window: timedelta
    ahead: timedelta = timedelta(0)

    @property
    def name(self) -> str:
        reach = f"_ahead_{span(self.ahead)}" if self.ahead else ""
        return f"{self.entity}_{self.statistic}_{span(self.window)}{reach}"


@dataclass(frozen=True)
class FeatureView:
    """The aggregates of one entity and kind: a row for each moment at which one of them changed.

    `keys`: the entity's contract columns. `known_after`: rows are stamped so long after their event, against the
    rules of time; None, the rules, in every honest spec. `planted`: the name of a leak that the audit planted.
    """

    entity: str
    kind: Kind
    keys: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    known_after: timedelta | None = None
    planted: str | None = None

    @property
    def name(self) -> str:
        return self.planted or f"{self.entity}_{self.kind}"

    @property
    def ttl(self) -> timedelta:
        """The longest window: what is older says nothing any more."""
        return max(aggregate.window for aggregate in self.aggregates)

    @property
    def known_at(self) -> str:
        """The row's knowable moment (microseconds since 1970) as a feature, so that its age comes out of the join."""
        return f"{self.name}_known_at_us"

    @property
    def age(self) -> str:
        return f"{self.name}_age_us"

    @property
    def columns(self) -> tuple[str, ...]:
        """The aggregates under their names in this view; a planted view's differ from those of an honest one."""
        prefix = f"{self.planted}_" if self.planted else ""
        return tuple(f"{prefix}{aggregate.name}" for aggregate in self.aggregates)

    @property
    def stored(self) -> tuple[str, ...]:
        """The columns of a row beside its key and its timestamp, in order."""
        return (*self.columns, self.known_at)


@dataclass(frozen=True)
class FeatureSet:
    """Every view, the declared inputs, and the time rules that all values follow."""

    views: tuple[FeatureView, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    slices: tuple[str, ...]
    ingestion_lag: timedelta
    label_delay: timedelta
    has_recorded_at: bool
    has_label_available_at: bool

    @cached_property
    def hash(self) -> str:
        """Of definitions and time rules; no path, no source column and no slice is part of it."""
        return sha256_json(
            {
                "views": [
                    {
                        "name": view.name,
                        "keys": view.keys,
                        "ttl_us": microseconds(view.ttl),
                        "known_after_us": _microseconds_or_none(view.known_after),
                        "aggregates": [
                            [aggregate.statistic, microseconds(aggregate.window), microseconds(aggregate.ahead)]
                            for aggregate in view.aggregates
                        ],
                    }
                    for view in self.views
                ],
                "numeric": self.numeric,
                "categorical": self.categorical,
                "ingestion_lag_us": microseconds(self.ingestion_lag),
                "label_delay_us": None if self.has_label_available_at else microseconds(self.label_delay),
                "recorded_at": self.has_recorded_at,
                "label_available_at": self.has_label_available_at,
            }
        )

    @property
    def short_hash(self) -> str:
        return self.hash[:_SHORT_HASH]

    @property
    def keys(self) -> tuple[str, ...]:
        """The contract columns of all entities, each once."""
        return tuple(dict.fromkeys(key for view in self.views for key in view.keys))

    @property
    def columns(self) -> tuple[str, ...]:
        """What features.parquet adds to transactions.parquet, in order: aggregates, then ages."""
        aggregates = (name for view in self.views for name in view.columns)
        return (*aggregates, *(view.age for view in self.views))

    def to_dict(self) -> dict[str, Any]:
        """The content of feature_set.json."""
        return {
            "hash": self.hash,
            "aggregates": [
                {
                    "name": aggregate.name,
                    "entity": view.entity,
                    "kind": view.kind,
                    "statistic": aggregate.statistic,
                    "window_us": microseconds(aggregate.window),
                    "ahead_us": microseconds(aggregate.ahead),
                    "view": view.name,
                }
                for view in self.views
                for aggregate in view.aggregates
            ],
            "ages": [
                {
                    "name": view.age,
                    "view": view.name,
                    "entity": view.entity,
                    "kind": view.kind,
                    "keys": list(view.keys),
                    "known_after_us": _microseconds_or_none(view.known_after),
                }
                for view in self.views
            ],
            "numeric": list(self.numeric),
            "categorical": list(self.categorical),
            "slices": list(self.slices),
            "rules": {
                "ingestion_lag_us": microseconds(self.ingestion_lag),
                "label_delay_us": microseconds(self.label_delay),
                "recorded_at": self.has_recorded_at,
                "label_available_at": self.has_label_available_at,
            },
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> FeatureSet:
        """The feature set that a feature_set.json describes, whatever this code defines today.

        Raises RecordInvalid when the description does not give the hash it names.
        """
        rules = stored["rules"]
        views = tuple(
            FeatureView(
                age["entity"],
                age["kind"],
                tuple(age["keys"]),
                tuple(
                    Aggregate(
                        entry["entity"],
                        entry["statistic"],
                        entry["window_us"] * _MICROSECOND,
                        entry["ahead_us"] * _MICROSECOND,
                    )
                    for entry in stored["aggregates"]
                    if entry["view"] == age["view"]
                ),
                None if age["known_after_us"] is None else age["known_after_us"] * _MICROSECOND,
            )
            for age in stored["ages"]
        )
        described = cls(
            views=views,
            numeric=tuple(stored["numeric"]),
            categorical=tuple(stored["categorical"]),
            slices=tuple(stored["slices"]),
            ingestion_lag=rules["ingestion_lag_us"] * _MICROSECOND,
            label_delay=rules["label_delay_us"] * _MICROSECOND,
            has_recorded_at=rules["recorded_at"],
            has_label_available_at=rules["label_available_at"],
        )
        if described.hash != stored["hash"]:
            raise RecordInvalid(
                f"The feature set {stored['hash'][:_SHORT_HASH]} is described so that it has the hash "
                f"{described.short_hash}: this code can no longer build it. Retire the model that uses it."
            )
        return described


def feature_set(columns: Columns, features: Features) -> FeatureSet:
    """The features of a data set that has these columns, under these time rules.

    Raises ConfigInvalid when the spec asks for nothing that these columns could give, or for an unknown entity.
    """
    entities = _entities(columns)
    declared = {*entities, "merchant", "customer_merchant", "further"}
    if unknown := [entity for entity in features.spec.root if entity not in declared]:
        raise ConfigInvalid(
            f"The feature spec has a table for the entity {unknown[0]!r}, which [columns.entities] does not declare. "
            f"Declare it there, or name one of {', '.join(entities)}."
        )
    views = tuple(_views(entities, columns, features))
    if not views:
        raise ConfigInvalid(f"The feature spec asks for nothing of the entities {', '.join(entities)}. Add a table.")
    return FeatureSet(
        views=views,
        numeric=_named(columns.numeric, "input"),
        categorical=_named(columns.categorical, "input"),
        slices=(*_named(columns.numeric, "slice"), *_named(columns.categorical, "slice")),
        ingestion_lag=features.ingestion_lag,
        label_delay=features.label_delay,
        has_recorded_at=columns.recorded_at is not None,
        has_label_available_at=columns.label_available_at is not None,
    )


def _entities(columns: Columns) -> dict[str, tuple[str, ...]]:
    """The keys of each entity that the data have."""
    entities: dict[str, tuple[str, ...]] = {"customer": ("customer_id",)}
    if columns.merchant_id is not None:
        entities |= {"merchant": ("merchant_id",), "customer_merchant": ("customer_id", "merchant_id")}
    return entities | {entity: (f"{entity}_id",) for entity in columns.entities}


def _views(entities: dict[str, tuple[str, ...]], columns: Columns, features: Features) -> Iterator[FeatureView]:
    for entity, keys in entities.items():
        for kind, asked in features.spec.views(entity, further=entity in columns.entities).items():
            if aggregates := tuple(_aggregates(entity, asked, "merchant" in entities and "merchant_id" not in keys)):
                yield FeatureView(entity, kind, keys, aggregates, asked.known_after)


def _aggregates(entity: str, asked: ViewSpec, meets_merchants: bool) -> Iterator[Aggregate]:
    for statistic in asked.statistics:
        if statistic != "distinct_merchants" or meets_merchants:
            for window in asked.windows(statistic):
                yield Aggregate(entity, statistic, window.back, window.ahead)


def view_name(view: FeatureView, feature_set: FeatureSet) -> str:
    """Of the view in Feast and in the online store."""
    return f"{view.name}_{feature_set.short_hash}"


def present_columns(columns: Columns, names: Sequence[str]) -> Columns:
    """`columns` without the optional ones that a table with these `names` lacks.

    Raises DataContractError for a lacking column that is not optional.
    """
    single = {
        role: column
        for role in ("merchant_id", "recorded_at", "label_available_at")
        if (column := getattr(columns, role)) is not None
    }
    declared = single | columns.entity_keys | columns.numeric | columns.categorical
    lacking = {role: column for role, column in declared.items() if role not in names}
    if required := [role for role, column in lacking.items() if not column.optional]:
        raise DataContractError(
            f"transactions.parquet lacks the column {', '.join(required)}, which the configuration maps; it has "
            f"{', '.join(names)}. Ingest the source again with this configuration."
        )
    return columns.model_copy(
        update={
            **{role: None for role in single if role in lacking},
            "entities": {name: column for name, column in columns.entities.items() if f"{name}_id" not in lacking},
            "numeric": {name: column for name, column in columns.numeric.items() if name not in lacking},
            "categorical": {name: column for name, column in columns.categorical.items() if name not in lacking},
        }
    )


def _named(declared: dict[str, Column], use: Literal["input", "slice"]) -> tuple[str, ...]:
    return tuple(name for name, column in declared.items() if column.use == use)


def _microseconds_or_none(duration: timedelta | None) -> int | None:
    return None if duration is None else microseconds(duration)
