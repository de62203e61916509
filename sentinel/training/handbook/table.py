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
from sentinel.training.handbook.protocol import Labels
from sentinel.training.tuning.folds import Fold, FoldedRows, Scores, Transactions, asked_columns

SCENARIO, KNOWN_FRAUDS = "fraud_scenario", "merchant_fraud_count_7d"


@dataclass(frozen=True)
class HandbookRows:
    """The folds of the protocol, and what hindsight asks of each row of the table (None: the data do not tell)."""

    data: FoldedRows
    hindsight: NDArray[np.float64] | None

    def judge_hindsight(self, fold: Fold) -> Scores | None:
        return None if self.hindsight is None else self.data.judge(fold, self.hindsight[fold.judged])


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
    return HandbookRows(FoldedRows.from_table(held, feature_set, folds), _hindsight(held))


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


def _hindsight(held: pa.Table) -> NDArray[np.float64] | None:
    if not {SCENARIO, KNOWN_FRAUDS} <= set(held.column_names):
        return None
    known_frauds = held[KNOWN_FRAUDS].to_numpy().astype(np.float64)
    return handbook.hindsight_scores(held[SCENARIO].to_pylist(), known_frauds)
