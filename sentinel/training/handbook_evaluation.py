"""The published protocol, run: proof of the metrics, then XGBoost and our network on the same features and folds."""

# pyarrow, scikit-learn and xgboost carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from sentinel.artifacts import FeatureTable
from sentinel.config import Training
from sentinel.errors import ConfigInvalid, DataContractError
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from sentinel.progress import Progress, silent
from sentinel.training import handbook
from sentinel.training.fit import make_network
from sentinel.training.handbook import Fold, Scores
from sentinel.training.handbook_features import handbook_features
from sentinel.training.hardware import choose_hardware, deterministic
from sentinel.training.loop import train
from sentinel.training.rows import Rows, logits, make_rows
from sentinel.training.source import FEATURE_SET
from sentinel.training.splits import TABLE

SEEDS = (1, 2, 3)
# A fold has a twelfth of a run's training rows: smaller batches, more epochs. No early stopping: a fold has no
# validation part, and its test week must not choose the epoch.
FOLD_SETTINGS = {"epochs": 20, "batch_size": 256}
SCENARIO, KNOWN_FRAUDS = "fraud_scenario", "merchant_fraud_count_7d"
DAY_US = 86_400_000_000


class Classifier(Protocol):
    def fit(self, X: Any, y: Any) -> Any: ...  # noqa: N803
    def predict_proba(self, X: Any) -> Any: ...  # noqa: N803


@dataclass(frozen=True)
class Transactions:
    """What the protocol asks of each row."""

    days: NDArray[np.int64]
    customers: NDArray[np.int64]
    labels: NDArray[np.bool_]

    @classmethod
    def from_table(cls, table: pa.Table) -> Transactions:
        moments = table["event_timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        labels = table["is_fraud"].fill_null(False).to_numpy().astype(bool)
        # in the order of the ids, by which equal scores are ranked
        _, customers = np.unique(table["customer_id"].to_numpy(), return_inverse=True)
        return cls(moments // DAY_US, customers.astype(np.int64), labels)

    def fold(self, start: Any) -> Fold:
        return handbook.make_fold(start, self.days, self.customers, self.labels)

    def judge(self, fold: Fold, scores: Any) -> Scores:
        return handbook.judge(fold, self.days, self.customers, self.labels, np.asarray(scores, np.float64))


def evaluate(table: FeatureTable, settings: Training, *, home: Path, progress: Progress = silent) -> dict[str, Any]:
    """The document that `sentinel evaluate --protocol handbook --json` prints."""
    folder = table.locate(home)
    feature_set = cast("dict[str, Any]", json.loads((folder / FEATURE_SET).read_text()))
    settings = settings.model_copy(update=FOLD_SETTINGS)
    steps = 3 + len(handbook.TEST_FOLDS) * (1 + len(SEEDS))
    count = _Steps(progress, steps)
    count("the handbook's features, for its published figures")
    single_split = reproduce_single_split(folder / TABLE, count)
    count("the rows of the four folds")
    rows, transactions, held = _read(folder / TABLE, feature_set)
    folds = [
        _run_fold(transactions.fold(start), transactions, rows, held, feature_set, settings, count)
        for start in handbook.TEST_FOLDS
    ]
    progress(steps, steps, "done")
    return {
        "protocol": "handbook",
        "settings": {**settings.model_dump(mode="json"), "seeds": list(SEEDS)},
        "precision": choose_hardware(settings).precision,
        "folds": folds,
        "mean": _mean(folds, "network"),
        "baselines": {
            "published": {name: scores.to_dict() for name, scores in handbook.PUBLISHED.items()},
            "single_split": single_split,
            "xgboost_same_features": _mean(folds, "xgboost"),
        },
        "ceiling": _mean(folds, "hindsight") if all("hindsight" in fold for fold in folds) else None,
    }


def reproduce_single_split(table: Path, count: _Steps) -> dict[str, Any]:
    """Published and reproduced figures of the book's two models: equal ones prove features, folds and metrics."""
    features = handbook_features(table)
    columns = ["transaction_id", "event_timestamp", "customer_id", "is_fraud"]
    transactions = Transactions.from_table(ds.dataset(table).to_table(columns=columns).sort_by("transaction_id"))
    fold = transactions.fold(handbook.SINGLE_SPLIT)
    scaler = StandardScaler().fit(features[fold.train])
    known, asked = scaler.transform(features[fold.train]), scaler.transform(features[fold.test])
    models: dict[str, Classifier] = {
        "random forest": RandomForestClassifier(random_state=0, n_jobs=-1),
        # the defaults of the book's time: today's give .838 / .564 / .246
        "XGBoost": _xgboost(tree_method="exact", base_score=0.5),
    }
    found: dict[str, Any] = {}
    for name, model in models.items():
        count(f"{name} as published")
        model.fit(known, transactions.labels[fold.train])
        scores = transactions.judge(fold, model.predict_proba(asked)[:, 1])
        published = handbook.PUBLISHED_SINGLE_SPLIT[name]
        found[name] = {"published": published.to_dict(), "reproduced": scores.to_dict()}
    return found


def _run_fold(
    fold: Fold,
    transactions: Transactions,
    rows: Rows,
    held: pa.Table,
    feature_set: Mapping[str, Any],
    settings: Training,
    count: _Steps,
) -> dict[str, Any]:
    begun = time.perf_counter()
    known, asked = rows.take(torch.from_numpy(fold.train)), rows.take(torch.from_numpy(fold.test))
    count(f"XGBoost from {fold.start}")
    peer = _xgboost(n_estimators=100, learning_rate=0.1, max_depth=3)
    peer.fit(known.derived.numpy(), known.is_fraud())
    found: dict[str, Any] = {
        "start": fold.start.isoformat(),
        "train_rows": len(known),
        "test_rows": len(asked),
        "test_frauds": int(asked.is_fraud().sum()),
        "xgboost": transactions.judge(fold, peer.predict_proba(asked.derived.numpy())[:, 1]).to_dict(),
    }
    seeds: list[Scores] = []
    for seed in SEEDS:
        count(f"network from {fold.start}, seed {seed}")
        seeds.append(transactions.judge(fold, network_scores(known, asked, feature_set, settings, seed)))
    found["network"] = handbook.mean(seeds).to_dict()
    found["seeds"] = [scores.to_dict() for scores in seeds]
    if SCENARIO in held.column_names:
        test = held.take(pa.array(fold.test))
        known_frauds = test[KNOWN_FRAUDS].to_numpy().astype(np.float64)
        hindsight = handbook.hindsight_scores(test[SCENARIO].to_pylist(), known_frauds)
        found["hindsight"] = transactions.judge(fold, hindsight).to_dict()
    return found | {"seconds": time.perf_counter() - begun}


def network_scores(
    known: Rows, asked: Rows, feature_set: Mapping[str, Any], settings: Training, seed: int
) -> NDArray[np.float64]:
    """Logits [N] of `asked` from the served kind of network, trained on `known`."""
    inputs = ModelInputs.from_feature_set(feature_set)
    hardware = choose_hardware(settings)
    with deterministic(seed):
        net = make_network(known, DerivedFeatures(inputs, feature_set), inputs, feature_set, settings)
        train(net.to(hardware.device), known.to(hardware.device), settings, hardware, None, seed=seed)
    return logits(net.cpu(), asked)


def _read(table: Path, feature_set: Mapping[str, Any]) -> tuple[Rows, Transactions, pa.Table]:
    """The rows from the first fold's training to the last one's test."""
    inputs = ModelInputs.from_feature_set(feature_set)
    source = ds.dataset(table)
    extra = [name for name in (SCENARIO,) if name in source.schema.names]
    length = timedelta(days=handbook.TRAIN_DAYS + handbook.DELAY_DAYS + handbook.TEST_DAYS)
    first, last = handbook.TEST_FOLDS[0], handbook.TEST_FOLDS[-1] + length
    bounds = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, last)]
    start, end = (pa.scalar(bound, pa.timestamp("us", "UTC")) for bound in bounds)
    moment = ds.field("event_timestamp")
    columns = dict.fromkeys([*inputs.columns, "customer_id", "is_fraud", *extra])
    held = source.to_table(columns=list(columns), filter=(moment >= start) & (moment < end))
    if not held.num_rows:
        raise DataContractError(
            f"The data have no transactions from {first} to {last}. Give those published with the handbook."
        )
    return make_rows(held, inputs, DerivedFeatures(inputs, feature_set)), Transactions.from_table(held), held


def _xgboost(**settings: Any) -> Classifier:
    try:
        import xgboost
    except ImportError as error:
        raise ConfigInvalid(
            "The protocol compares with XGBoost, which is not installed. Install the lock's packages."
        ) from error
    return cast("Classifier", xgboost.XGBClassifier(random_state=0, n_jobs=1, **settings))


def _mean(folds: Sequence[Mapping[str, Any]], which: str) -> dict[str, float]:
    return handbook.mean([Scores(**fold[which]) for fold in folds]).to_dict()


@dataclass
class _Steps:
    """Counts the named steps of a run that knows how many there will be."""

    progress: Progress
    total: int
    done: int = -1

    def __call__(self, doing: str) -> None:
        self.done += 1
        self.progress(self.done, self.total, doing)
