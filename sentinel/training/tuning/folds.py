"""Folds: what settings are judged on. One type, one way to fit the network on a fold and to judge it.

Positions are those of one table, whose derived rows are computed once for all folds. What that needs to be fitted
(vocabularies, the fraud rate that shrunk rates are drawn towards) comes from the first fold's training rows, which
are no later than those of any other fold.
"""

# pyarrow and torch carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from sentinel.config import Training
from sentinel.metrics import card_precision_at_k, pr_auc, roc_auc
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import TRANSACTION, ModelInputs, Vocabulary
from sentinel.training.data.rows import ResidentRows, Rows, logits, make_rows
from sentinel.training.data.source import LEAST_ROWS_OF_A_VALUE, MOST_VALUES
from sentinel.training.device.hardware import choose_hardware, deterministic
from sentinel.training.judging.judgement import ALERTS_A_DAY, DAY_US
from sentinel.training.loop.loop import train
from sentinel.training.preparation import add_forest, make_network


@dataclass(frozen=True)
class Scores:
    """The three figures by which folds are judged: those of the handbook's tables."""

    roc_auc: float
    pr_auc: float
    card_precision_at_100: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def mean(scores: Sequence[Scores]) -> Scores:
    columns = zip(*((score.roc_auc, score.pr_auc, score.card_precision_at_100) for score in scores), strict=True)
    return Scores(*(float(np.mean(column)) for column in columns))


@dataclass(frozen=True)
class Fold:
    """Positions of the rows to train on and to judge by, in time order, with the labels known by then."""

    name: str
    train: NDArray[np.int64]
    train_labels: NDArray[np.bool_]
    judged: NDArray[np.int64]
    judged_labels: NDArray[np.bool_]

    @property
    def has_both_classes(self) -> bool:
        return all(0 < int(labels.sum()) < len(labels) for labels in (self.train_labels, self.judged_labels))


@dataclass(frozen=True)
class Transactions:
    """What the figures ask of each row of the table: its day, since 1970, and its customer."""

    days: NDArray[np.int64]
    customers: NDArray[np.int64]

    @classmethod
    def from_table(cls, table: pa.Table) -> Transactions:
        moments = table["event_timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        # in the order of the ids, by which equal scores are ranked
        _, customers = np.unique(table["customer_id"].to_numpy(), return_inverse=True)
        return cls(moments // DAY_US, customers.astype(np.int64))

    def judge(self, fold: Fold, scores: NDArray[np.float64]) -> Scores:
        """`scores`: one a judged row of the fold, higher is more suspicious."""
        truth, days, customers = fold.judged_labels, self.days[fold.judged], self.customers[fold.judged]
        return Scores(
            roc_auc=roc_auc(truth, scores),
            pr_auc=pr_auc(truth, scores),
            card_precision_at_100=card_precision_at_k(truth, scores, days, customers, ALERTS_A_DAY),
        )


@dataclass(frozen=True)
class FoldedRows:
    """A table as the model sees it, and the folds of it."""

    folds: tuple[Fold, ...]
    rows: Rows
    transactions: Transactions
    feature_set: Mapping[str, Any]
    inputs: ModelInputs
    fraud_rate: float

    @classmethod
    def from_table(cls, table: pa.Table, feature_set: Mapping[str, Any], folds: Sequence[Fold]) -> FoldedRows:
        """`table` has the model's inputs, customer_id and an is_fraud without nulls."""
        first = folds[0]
        seen = table.take(pa.array(first.train))
        inputs = ModelInputs.from_feature_set(
            feature_set,
            [
                Vocabulary.from_column(name, seen[name], LEAST_ROWS_OF_A_VALUE, MOST_VALUES)
                for name in feature_set["categorical"]
            ],
        )
        rate = float(first.train_labels.mean())
        rows = make_rows(table, inputs, DerivedFeatures(inputs, feature_set, rate))
        return cls(tuple(folds), rows, Transactions.from_table(table), feature_set, inputs, rate)

    def known(self, fold: Fold) -> Rows:
        """The rows to train on."""
        return self._take(fold.train, fold.train_labels)

    def asked(self, fold: Fold) -> Rows:
        """The rows to judge by."""
        return self._take(fold.judged, fold.judged_labels)

    def judge(self, fold: Fold, scores: Any) -> Scores:
        return self.transactions.judge(fold, np.asarray(scores, np.float64))

    def _take(self, positions: NDArray[np.int64], labels: NDArray[np.bool_]) -> Rows:
        return replace(self.rows.take(torch.from_numpy(positions)), labels=torch.from_numpy(labels.astype(np.float32)))


def asked_columns(feature_set: Mapping[str, Any]) -> list[str]:
    """What a table needs for `FoldedRows.from_table`."""
    stored = [entry["name"] for key in ("aggregates", "ages") for entry in feature_set[key]]
    inputs = [*TRANSACTION, *stored, *feature_set["numeric"], *feature_set["categorical"]]
    return list(dict.fromkeys([*inputs, "customer_id", "is_fraud"]))


def fit_and_judge(data: FoldedRows, fold: Fold, settings: Training, seed: int) -> Scores:
    return data.judge(fold, fit_and_score(data, fold, settings, seed))


def fit_and_score(data: FoldedRows, fold: Fold, settings: Training, seed: int) -> NDArray[np.float64]:
    """Train the served kind of network on the fold, for all of its epochs; logits of the judged rows [M].

    No early stopping: the judged rows must not choose the epoch.
    """
    known, inputs = data.known(fold), data.inputs
    hardware = choose_hardware(settings)
    with deterministic(seed):
        derive = DerivedFeatures(inputs, data.feature_set, data.fraud_rate)
        net = make_network(known, derive, inputs, data.feature_set, settings)
        add_forest(net, known, settings, seed)
        rows = ResidentRows(known, hardware.device)
        train(net.to(hardware.device), rows, settings, hardware, None, seed=seed)
    return np.asarray(logits(net.cpu(), data.asked(fold)), np.float64)
