"""The boosted trees that the network has to beat: XGBoost and CatBoost on the same derived features and folds.

Their settings are those that as long a search as the network's found on the validation folds
(`python -m benchmarks.tuned_peers`, whose answer tuned_peers.json is). It begins with what was found good for our own
forest, the many bins included, so that what the network is compared with is not held back.
"""

# numpy, xgboost and catboost carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from sentinel.errors import ConfigInvalid
from sentinel.training.tuning.folds import Fold, FoldedRows, Scores
from sentinel.training.tuning.search import Search, Settings

TUNED = Path(__file__).with_name("tuned_peers.json")


class Classifier(Protocol):
    def fit(self, X: Any, y: Any) -> Any: ...  # noqa: N803
    def predict_proba(self, X: Any) -> Any: ...  # noqa: N803


@dataclass(frozen=True)
class Peer:
    """`start`: the settings a search begins with; `space`: where it looks for better ones."""

    title: str
    make: Callable[[Mapping[str, Any], int], Classifier]
    start: Mapping[str, Any]
    space: Mapping[str, BaseDistribution]


@dataclass(frozen=True)
class TunedPeer:
    """`found_by`: the command, or that there was none; `minutes` and `trials` of its search."""

    settings: Mapping[str, Any]
    found_by: str
    minutes: float
    trials: int
    validation: Mapping[str, float] | None  # mean figures on the validation folds

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def tuned_peers() -> dict[str, TunedPeer]:
    """Each peer with the settings that were frozen."""
    frozen = cast("dict[str, dict[str, Any]]", json.loads(TUNED.read_text())["peers"])
    return {key: TunedPeer(**frozen[key]) for key in PEERS}


def fit_and_judge_peer(data: FoldedRows, fold: Fold, peer: Peer, settings: Mapping[str, Any], seed: int) -> Scores:
    known, asked = data.known(fold), data.asked(fold)
    model = peer.make(settings, seed)
    model.fit(known.derived.numpy(), known.is_fraud())
    return data.judge(fold, model.predict_proba(asked.derived.numpy())[:, 1])


def peer_search(data: FoldedRows, key: str, judged_on: Mapping[str, Any], seed: int) -> Search:
    """Settings of a peer, looked for as those of the network are."""
    peer = PEERS[key]

    def judge(tried: Settings) -> Iterator[Scores]:
        for fold in data.folds:
            yield fit_and_judge_peer(data, fold, peer, {**peer.start, **tried}, seed)

    return Search(key, peer.start, peer.space, [fold.name for fold in data.folds], judge, judged_on, seed)


def make_xgboost(settings: Mapping[str, Any], seed: int) -> Classifier:
    try:
        import xgboost
    except ImportError as error:
        raise _missing("XGBoost") from error
    return cast("Classifier", xgboost.XGBClassifier(random_state=seed, n_jobs=-1, **settings))


def make_catboost(settings: Mapping[str, Any], seed: int) -> Classifier:
    try:
        import catboost
    except ImportError as error:
        raise _missing("CatBoost") from error
    quiet = {"verbose": False, "allow_writing_files": False}
    return cast("Classifier", catboost.CatBoostClassifier(random_seed=seed, **quiet, **settings))


def _missing(what: str) -> ConfigInvalid:
    return ConfigInvalid(f"The protocol compares with {what}, which is not installed. Install the lock's packages.")


PEERS = {
    "xgboost": Peer(
        "XGBoost",
        make_xgboost,
        start={
            "n_estimators": 300, "learning_rate": 0.05, "max_depth": 4, "min_child_weight": 1.0, "subsample": 0.7,
            "colsample_bytree": 0.4, "reg_lambda": 1.0, "max_bin": 2048,
        },
        space={
            "n_estimators": IntDistribution(50, 1000, log=True),
            "learning_rate": FloatDistribution(0.01, 0.3, log=True),
            "max_depth": IntDistribution(2, 9),
            "min_child_weight": FloatDistribution(0.5, 50, log=True),
            "subsample": FloatDistribution(0.5, 1),
            "colsample_bytree": FloatDistribution(0.2, 1),
            "reg_lambda": FloatDistribution(0.05, 50, log=True),
            "max_bin": IntDistribution(256, 4096, log=True),
        },
    ),
    "catboost": Peer(
        "CatBoost",
        make_catboost,
        start={
            "iterations": 300, "learning_rate": 0.1, "depth": 6, "l2_leaf_reg": 3.0, "random_strength": 1.0,
            "bootstrap_type": "Bernoulli", "subsample": 0.8, "rsm": 1.0, "border_count": 254,
        },
        space={
            "iterations": IntDistribution(50, 600, log=True),
            "learning_rate": FloatDistribution(0.01, 0.3, log=True),
            "depth": IntDistribution(3, 8),
            "l2_leaf_reg": FloatDistribution(0.5, 50, log=True),
            "random_strength": FloatDistribution(0.1, 10, log=True),
            "subsample": FloatDistribution(0.5, 1),
            "rsm": FloatDistribution(0.2, 1),
            "border_count": IntDistribution(128, 1024, log=True),  # more take minutes a fold
        },
    ),
}  # fmt: skip
