"""The published protocol, run: proof of the metrics, then our network, XGBoost and CatBoost on the same folds.

The validation folds are for every choice; the test folds are looked at once a choice is made.
"""

# scikit-learn carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow.dataset as ds
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from sentinel.artifacts import FeatureTable
from sentinel.config import Training
from sentinel.progress import Progress, silent
from sentinel.training.data.splits import TABLE
from sentinel.training.device.hardware import choose_hardware
from sentinel.training.handbook import protocol as handbook
from sentinel.training.handbook.book_features import handbook_features
from sentinel.training.handbook.protocol import KindOfFraud
from sentinel.training.handbook.table import HandbookRows, known_labels, read_feature_set, read_handbook
from sentinel.training.tuning.folds import Fold, Scores, Transactions, fit_and_score, mean
from sentinel.training.tuning.peer_models import (
    PEERS,
    Classifier,
    TunedPeer,
    fit_and_judge_peer,
    make_xgboost,
    tuned_peers,
)

SEEDS = (1, 2, 3)
# A fold has a twelfth of a run's training rows: smaller batches, more epochs, where the configuration says nothing.
FOLD_SETTINGS = {"epochs": 20, "batch_size": 256}
FOLDS = {"validation": handbook.VALIDATION_FOLDS, "test": handbook.TEST_FOLDS}

Which = Literal["validation", "test"]


def fold_settings(settings: Training) -> Training:
    """What a fold is trained with: the configuration's own words first."""
    given = settings.model_fields_set
    return settings.model_copy(update={key: value for key, value in FOLD_SETTINGS.items() if key not in given})


def evaluate(
    table: FeatureTable, settings: Training, *, home: Path, which: Which = "test", progress: Progress = silent
) -> dict[str, Any]:
    """The document that `sentinel evaluate --protocol handbook --json` prints."""
    begun, folder = time.perf_counter(), table.locate(home)
    settings, peers, starts = fold_settings(settings), tuned_peers(), FOLDS[which]
    proof_steps = len(handbook.PUBLISHED_SINGLE_SPLIT) + 1 if which == "test" else 0
    steps = proof_steps + 1 + len(starts) * len(SEEDS) * (1 + len(peers))
    count = _Steps(progress, steps)
    single_split = reproduce_single_split(folder / TABLE, count) if which == "test" else None
    count("the rows of the four folds")
    rows = read_handbook(folder, read_feature_set(folder), starts)
    folds, kinds = zip(*(_run_fold(fold, rows, settings, peers, count) for fold in rows.data.folds), strict=True)
    progress(steps, steps, "done")
    return {
        "protocol": "handbook",
        "judged_on": which,
        "settings": {**settings.model_dump(mode="json"), "seeds": list(SEEDS)},
        "precision": choose_hardware(settings).precision,
        "folds": list(folds),
        "mean": _mean(folds, "network"),
        "seeds": [mean([Scores(**fold["seeds"][at]) for fold in folds]).to_dict() for at in range(len(SEEDS))],
        "baselines": {
            "published": _published() if which == "test" else {},
            "single_split": single_split,
            **{f"{key}_same_features": _mean(folds, key) for key in peers},
        },
        "peers": {key: {"title": PEERS[key].title, **peer.to_dict()} for key, peer in peers.items()},
        "lost_roc_auc": {name: kind.to_dict() for name, kind in handbook.mean_of_kinds(kinds).items()},
        "ceiling": _mean(folds, "hindsight") if all("hindsight" in fold for fold in folds) else None,
        "seconds": time.perf_counter() - begun,
    }


def reproduce_single_split(table: Path, count: _Steps) -> dict[str, Any]:
    """Published and reproduced figures of the book's two models: equal ones prove features, folds and metrics."""
    count("the handbook's features, for its published figures")
    features = handbook_features(table)
    columns = ["transaction_id", "event_timestamp", "customer_id", "is_fraud"]
    rows = ds.dataset(table).to_table(columns=columns).sort_by("transaction_id")
    transactions = Transactions.from_table(rows)
    fold = handbook.make_fold(handbook.SINGLE_SPLIT, transactions.days, transactions.customers, known_labels(rows))
    scaler = StandardScaler().fit(features[fold.train])
    known, asked = scaler.transform(features[fold.train]), scaler.transform(features[fold.judged])
    models: dict[str, Classifier] = {
        "random forest": RandomForestClassifier(random_state=0, n_jobs=-1),
        # the defaults of the book's time: today's give .838 / .564 / .246
        "XGBoost": make_xgboost({"tree_method": "exact", "base_score": 0.5}, seed=0),
    }
    found: dict[str, Any] = {}
    for name, model in models.items():
        count(f"{name} as published")
        model.fit(known, fold.train_labels)
        scores = transactions.judge(fold, model.predict_proba(asked)[:, 1])
        published = handbook.PUBLISHED_SINGLE_SPLIT[name]
        found[name] = {"published": published.to_dict(), "reproduced": scores.to_dict()}
    return found


def _run_fold(
    fold: Fold, rows: HandbookRows, settings: Training, peers: Mapping[str, TunedPeer], count: _Steps
) -> tuple[dict[str, Any], dict[str, KindOfFraud]]:
    """The fold's part of the document, and by kind of fraud what the network lost of roc_auc."""
    begun, data = time.perf_counter(), rows.data
    found: dict[str, Any] = {
        "start": fold.name,
        "train_rows": len(fold.train),
        "judged_rows": len(fold.judged),
        "judged_frauds": int(fold.judged_labels.sum()),
    }
    seeds: dict[str, list[Scores]] = {"network": []}
    lost: list[dict[str, KindOfFraud]] = []
    for seed in SEEDS:
        count(f"network from {fold.name}, seed {seed}")
        scored = fit_and_score(data, fold, settings, seed)
        seeds["network"].append(data.judge(fold, scored))
        lost.append(rows.lost_roc_auc(fold, scored))
        for key, tuned in peers.items():
            count(f"{PEERS[key].title} from {fold.name}, seed {seed}")
            scores = fit_and_judge_peer(data, fold, PEERS[key], tuned.settings, seed)
            seeds.setdefault(key, []).append(scores)
    found |= {key: mean(scores).to_dict() for key, scores in seeds.items()}
    found["seeds"] = [scores.to_dict() for scores in seeds["network"]]
    found["peer_seeds"] = {key: [scores.to_dict() for scores in seeds[key]] for key in peers}
    if (hindsight := rows.judge_hindsight(fold)) is not None:
        found["hindsight"] = hindsight.to_dict()
    return found | {"seconds": time.perf_counter() - begun}, handbook.mean_of_kinds(lost)


def _published() -> dict[str, dict[str, float]]:
    return {name: scores.to_dict() for name, scores in handbook.PUBLISHED.items()}


def _mean(folds: Sequence[Mapping[str, Any]], which: str) -> dict[str, float]:
    return mean([Scores(**fold[which]) for fold in folds]).to_dict()


@dataclass
class _Steps:
    """Counts the named steps of a run that knows how many there will be."""

    progress: Progress
    total: int
    done: int = -1

    def __call__(self, doing: str) -> None:
        self.done += 1
        self.progress(self.done, self.total, doing)
