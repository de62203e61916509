"""The handbook's transactions with Sentinel's features, as the protocol's folds ask for them."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from sentinel.errors import DataContractError
from sentinel.training.data.source import FEATURE_SET
from sentinel.training.data.splits import TABLE
from sentinel.training.handbook import protocol as handbook
from sentinel.training.handbook.protocol import KindOfFraud, Kinds, Labels
from sentinel.training.tuning.folds import Fold, FoldedRows, Scores, Transactions, asked_columns

SCENARIO, KNOWN_FRAUDS = "fraud_scenario", "merchant_fraud_count_7d"


@dataclass(frozen=True)
class HandbookRows:
    """The folds of the protocol, and of which kind each row of the table is (None: the data do not tell)."""

    data: FoldedRows
    kinds: Kinds | None

    def judge_hindsight(self, fold: Fold) -> Scores | None:
        if self.kinds is None:
            return None
        return self.data.judge(fold, handbook.hindsight_scores(self.kinds[fold.judged]))

    def lost_roc_auc(self, fold: Fold, scores: NDArray[np.float64]) -> dict[str, KindOfFraud]:
        """By kind of fraud; nothing where the data do not tell the kinds."""
        if self.kinds is None:
            return {}
        return handbook.lost_roc_auc(self.kinds[fold.judged], fold.judged_labels, scores)


def read_feature_set(folder: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((folder / FEATURE_SET).read_text()))


def read_handbook(folder: Path, feature_set: Mapping[str, Any], starts: Sequence[date]) -> HandbookRows:
    """The folds that start on `starts`, from a built feature table; `feature_set` may ask for a part of its columns.

    Raises DataContractError for data of other days.
    """
    held = _read(folder / TABLE, feature_set, starts)
    labels = known_labels(held)
    transactions = Transactions.from_table(held)
    folds = [handbook.make_fold(start, transactions.days, transactions.customers, labels) for start in starts]
    return HandbookRows(FoldedRows.from_table(held, feature_set, folds), _kinds(held))


def known_labels(table: pa.Table) -> Labels:
    """[N], genuine where the data know no label."""
    return table["is_fraud"].fill_null(False).to_numpy().astype(bool)


def _read(table: Path, feature_set: Mapping[str, Any], starts: Sequence[date]) -> pa.Table:
    """The rows from the first fold's training to the last one's judged week, in the table's order."""
    source = ds.dataset(table)
    length = timedelta(days=handbook.TRAIN_DAYS + handbook.DELAY_DAYS + handbook.TEST_DAYS)
    first, last = starts[0], starts[-1] + length
    bounds = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, last)]
    start, end = (pa.scalar(bound, pa.timestamp("us", "UTC")) for bound in bounds)
    moment = ds.field("event_timestamp")
    extra = [name for name in (SCENARIO, KNOWN_FRAUDS) if name in source.schema.names]
    columns = list(dict.fromkeys([*asked_columns(feature_set), *extra]))
    held = source.to_table(columns=columns, filter=(moment >= start) & (moment < end))
    if not held.num_rows:
        raise DataContractError(
            f"The data have no transactions from {first} to {last}. Give those published with the handbook."
        )
    return held.set_column(held.column_names.index("is_fraud"), "is_fraud", held["is_fraud"].fill_null(False))


def _kinds(held: pa.Table) -> Kinds | None:
    if not {SCENARIO, KNOWN_FRAUDS} <= set(held.column_names):
        return None
    known_frauds = held[KNOWN_FRAUDS].to_numpy().astype(np.float64)
    return handbook.fraud_kinds(held[SCENARIO].to_pylist(), known_frauds)
