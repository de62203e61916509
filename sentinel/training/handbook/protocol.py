"""The protocol of the published tables: Reproducible Machine Learning for Credit Card Fraud Detection (ULB, 2022).

Train on `[start, start + 7 days)`, wait 7 days, test on the 7 days after. On each test day, customers with a fraud
known by then are left out: those of the training week, and of the days that came in from the waiting week since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sentinel.errors import DataContractError
from sentinel.training.tuning.folds import Fold, Scores

TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7
VALIDATION_FOLDS = (date(2018, 6, 20), date(2018, 6, 27), date(2018, 7, 4), date(2018, 7, 11))
TEST_FOLDS = (date(2018, 7, 25), date(2018, 8, 1), date(2018, 8, 8), date(2018, 8, 15))
SINGLE_SPLIT = TEST_FOLDS[0]
_EPOCH = date(1970, 1, 1)

GENUINE, ANNOUNCED, UNANNOUNCED = "0", "2, known", "2, not known"

Days = NDArray[np.int64]  # since 1970-01-01
Kinds = NDArray[np.str_]
Customers = NDArray[np.int64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True)
class KindOfFraud:
    """`share` of the frauds; `lost`: what they take of an area of 1."""

    share: float
    lost: float

    @property
    def rank(self) -> float:
        """The mean share of genuine rows with lower scores: 0.5 is chance."""
        return 1 - self.lost / self.share

    def to_dict(self) -> dict[str, float]:
        return {"share": self.share, "rank": self.rank, "lost": self.lost}


# Test, mean of four folds. "XGBoost" is the one selected on validation.
PUBLISHED = {
    "decision tree": Scores(0.797, 0.579, 0.284),
    "logistic regression": Scores(0.868, 0.623, 0.297),
    "random forest": Scores(0.870, 0.678, 0.299),
    "XGBoost": Scores(0.869, 0.687, 0.303),
    "balanced bagging": Scores(0.879, 0.680, 0.305),
    "feed-forward network": Scores(0.876, 0.675, 0.303),
    "convolutional network": Scores(0.872, 0.599, 0.288),
    "LSTM": Scores(0.876, 0.665, 0.297),
    "LSTM with attention": Scores(0.874, 0.667, 0.295),
}
PUBLISHED_SINGLE_SPLIT = {
    "random forest": Scores(0.867, 0.658, 0.287),
    "XGBoost": Scores(0.862, 0.639, 0.273),
}


def make_fold(start: date, days: Days, customers: Customers, labels: Labels) -> Fold:
    """Raises DataContractError when the table has no rows of one of the two weeks."""
    first = (start - _EPOCH).days
    train = np.flatnonzero((days >= first) & (days < first + TRAIN_DAYS))
    compromised = set(_compromised(train, customers, labels))
    test: list[NDArray[np.int64]] = []
    for number in range(TEST_DAYS):
        waited = np.flatnonzero(days == first + TRAIN_DAYS + number - 1)
        compromised.update(_compromised(waited, customers, labels))
        today = np.flatnonzero(days == first + TRAIN_DAYS + DELAY_DAYS + number)
        test.append(today[~np.isin(customers[today], list(compromised))])
    asked = np.concatenate(test)
    fold = Fold(start.isoformat(), train, labels[train], asked, labels[asked])
    if not fold.train_labels.any() or not fold.judged_labels.any():
        raise DataContractError(
            f"The fold that starts on {start} has {fold.train_labels.sum()} frauds to train on and "
            f"{fold.judged_labels.sum()} to judge by. "
            "The protocol needs the data published with the handbook, 2018-04-01 to 2018-09-30."
        )
    return fold


def fraud_kinds(scenarios: Sequence[str | None], known_frauds: NDArray[np.float64]) -> Kinds:
    """The simulator's scenario of each fraud, 2 told apart by what could be known of it; GENUINE for all others.

    `known_frauds`: how many of the terminal's frauds had a label by then, NaN when it had no label at all.
    """
    scenario = np.asarray([name or GENUINE for name in scenarios], dtype=object)
    is_known = np.nan_to_num(known_frauds) > 0
    return np.where(scenario == "2", np.where(is_known, ANNOUNCED, UNANNOUNCED), scenario).astype(str)


def hindsight_scores(kinds: Kinds) -> NDArray[np.float64]:
    """How far one can roughly get: scenarios 1 and 3 known perfectly, 2 once its terminal has a known fraud."""
    return np.isin(kinds, ("1", ANNOUNCED, "3")).astype(np.float64)


def lost_roc_auc(kinds: Kinds, labels: Labels, scores: NDArray[np.float64]) -> dict[str, KindOfFraud]:
    """By kind of fraud: what is lost adds up to 1 - roc_auc."""
    genuine, frauds, of_fraud = np.sort(scores[~labels]), scores[labels], kinds[labels]
    below = np.searchsorted(genuine, frauds, "left") + np.searchsorted(genuine, frauds, "right")
    lost = 1 - below / (2 * len(genuine))
    return {
        kind: KindOfFraud(float((of_fraud == kind).mean()), float(lost[of_fraud == kind].sum()) / len(frauds))
        for kind in sorted(set(of_fraud.tolist()))
    }


def mean_of_kinds(found: Sequence[Mapping[str, KindOfFraud]]) -> dict[str, KindOfFraud]:
    """Over trainings or folds; one without a fraud of a kind has a share and a loss of 0 of it."""
    none, trainings = KindOfFraud(0.0, 0.0), len(found)
    means: dict[str, KindOfFraud] = {}
    for kind in sorted({kind for each in found for kind in each}):
        these = [each.get(kind, none) for each in found]
        means[kind] = KindOfFraud(sum(of.share for of in these) / trainings, sum(of.lost for of in these) / trainings)
    return means


def _compromised(rows: NDArray[np.int64], customers: Customers, labels: Labels) -> list[int]:
    return cast("list[int]", np.unique(customers[rows[labels[rows]]]).tolist())
