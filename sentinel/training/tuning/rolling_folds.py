"""Folds of any own table, before its calibration part begins: rolling origins inside train and validation.

    train ........................ | gap | judged |            the first
    train ................................. | gap | judged |   the last: the table's own train and validation parts

The gap is the label maturity. Each fold knows the labels that were there when its training would have begun.
"""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from sentinel.errors import DataContractError
from sentinel.training.data.splits import Part
from sentinel.training.tuning.folds import Fold, FoldedRows, asked_columns

FOLDS = 3
ARRIVAL = "label_available_at"


@dataclass(frozen=True)
class Plan:
    """Times of one fold."""

    train: Part
    judged: Part


def plan_folds(splits: Mapping[str, Any]) -> list[Plan]:
    """At most FOLDS, earliest first; each trains on at least as long a time as it judges. `splits`: of splits.json."""
    train, validation = (_part(splits[name]) for name in ("train", "validation"))
    gap, length = validation.start - train.end, validation.end - validation.start
    plans: list[Plan] = []
    for back in range(FOLDS):
        judged = Part(validation.start - back * length, validation.end - back * length)
        known = Part(train.start, judged.start - gap)
        if back and known.end - known.start < length:
            break
        plans.append(Plan(known, judged))
    return plans[::-1]


def read_folds(table: Path, feature_set: Mapping[str, Any], splits: Mapping[str, Any]) -> FoldedRows:
    """The folds that have both classes in both parts. Raises DataContractError when none has."""
    plans = plan_folds(splits)
    held = _read(table, feature_set, plans)
    labels = _Labels.from_table(held, bool(splits["train"]["unlabelled_is_genuine"]))
    folds = [fold for plan in plans if (fold := labels.fold(plan)).has_both_classes]
    if not folds:
        raise DataContractError(
            f"Nothing can be judged before {plans[-1].judged.end:%Y-%m-%d}: the train and the validation part need "
            "frauds and genuine rows. Bring more data, or change the lengths in [splits]."
        )
    genuine = held["is_fraud"].fill_null(False)
    return FoldedRows.from_table(
        held.set_column(held.column_names.index("is_fraud"), "is_fraud", genuine), feature_set, folds
    )


@dataclass(frozen=True)
class _Labels:
    """When each row happened, its label (1, 0, or -1: none), and when that came (None: at once). All int64 [N]."""

    happened: NDArray[np.int64]
    label: NDArray[np.int64]
    came: NDArray[np.int64] | None
    unlabelled_is_genuine: bool

    @classmethod
    def from_table(cls, table: pa.Table, unlabelled_is_genuine: bool) -> _Labels:
        label = table["is_fraud"].cast(pa.int64()).fill_null(-1).to_numpy()
        came = _microseconds(table[ARRIVAL]) if ARRIVAL in table.column_names else None
        return cls(_microseconds(table["event_timestamp"]), label, came, unlabelled_is_genuine)

    def fold(self, plan: Plan) -> Fold:
        gap = plan.judged.start - plan.train.end
        train, train_labels = self._known(plan.train, plan.train.end + gap)
        judged, judged_labels = self._known(plan.judged, plan.judged.end + gap)
        return Fold(f"{plan.judged.start:%Y-%m-%d}", train, train_labels, judged, judged_labels)

    def _known(self, part: Part, until: datetime) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Positions of the part's rows in time order, and their labels as known at `until`, as splits.py says."""
        known = self.label >= 0
        if self.came is not None:
            known &= self.came <= _since_1970(until)
        inside = (self.happened >= _since_1970(part.start)) & (self.happened < _since_1970(part.end))
        chosen = np.flatnonzero(inside if self.unlabelled_is_genuine else inside & known)
        chosen = chosen[np.argsort(self.happened[chosen], kind="stable")]
        return chosen, known[chosen] & (self.label[chosen] == 1)


def _read(table: Path, feature_set: Mapping[str, Any], plans: list[Plan]) -> pa.Table:
    source = ds.dataset(table)
    arrival = [ARRIVAL] if ARRIVAL in source.schema.names else []
    moment = ds.field("event_timestamp")
    start, end = (pa.scalar(bound, pa.timestamp("us", "UTC")) for bound in (plans[0].train.start, plans[-1].judged.end))
    return source.to_table(columns=[*asked_columns(feature_set), *arrival], filter=(moment >= start) & (moment < end))


def _microseconds(moments: pa.ChunkedArray) -> NDArray[np.int64]:
    """Since 1970; a moment that is missing is before every other one."""
    return moments.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()


def _since_1970(moment: datetime) -> int:
    return int(pa.scalar(moment, pa.timestamp("us", "UTC")).value)


def _part(described: Mapping[str, Any]) -> Part:
    return Part(datetime.fromisoformat(described["start"]), datetime.fromisoformat(described["end"]))
