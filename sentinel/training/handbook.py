"""The protocol of the published tables: Reproducible Machine Learning for Credit Card Fraud Detection (ULB, 2022).

Train on `[start, start + 7 days)`, wait 7 days, test on the 7 days after. On each test day, customers with a fraud
known by then are left out: those of the training week, and of the days that came in from the waiting week since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sentinel.errors import DataContractError
from sentinel.metrics import card_precision_at_k, pr_auc, roc_auc

TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7
ALERTS_A_DAY = 100
TEST_FOLDS = (date(2018, 7, 25), date(2018, 8, 1), date(2018, 8, 8), date(2018, 8, 15))
SINGLE_SPLIT = TEST_FOLDS[0]
_EPOCH = date(1970, 1, 1)

Days = NDArray[np.int64]  # since 1970-01-01
Customers = NDArray[np.int64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """The three figures of the published tables."""

    roc_auc: float
    pr_auc: float
    card_precision_at_100: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


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


@dataclass(frozen=True)
class Fold:
    """Positions of the rows to train on and to test on, in time order."""

    start: date
    train: NDArray[np.int64]
    test: NDArray[np.int64]


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
    fold = Fold(start, train, np.concatenate(test))
    if not labels[fold.train].any() or not labels[fold.test].any():
        raise DataContractError(
            f"The fold that starts on {start} has {labels[fold.train].sum()} frauds to train on and "
            f"{labels[fold.test].sum()} to test on. "
            "The protocol needs the data published with the handbook, 2018-04-01 to 2018-09-30."
        )
    return fold


def judge(fold: Fold, days: Days, customers: Customers, labels: Labels, scores: NDArray[np.float64]) -> Scores:
    """`scores`: one a test row of the fold."""
    truth, day, customer = labels[fold.test], days[fold.test], customers[fold.test]
    return Scores(
        roc_auc=roc_auc(truth, scores),
        pr_auc=pr_auc(truth, scores),
        card_precision_at_100=card_precision_at_k(truth, scores, day, customer, ALERTS_A_DAY),
    )


def mean(scores: Sequence[Scores]) -> Scores:
    columns = zip(*((score.roc_auc, score.pr_auc, score.card_precision_at_100) for score in scores), strict=True)
    return Scores(*(float(np.mean(column)) for column in columns))


def hindsight_scores(scenarios: Sequence[str | None], known_frauds: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far one can roughly get: scenarios 1 and 3 known perfectly, 2 once its terminal has a known fraud.

    `known_frauds`: how many of the terminal's frauds had a label by then, NaN when it had no label at all.
    """
    scenario = np.asarray([name or "0" for name in scenarios])
    found = np.isin(scenario, ("1", "3")) | ((scenario == "2") & (np.nan_to_num(known_frauds) > 0))
    return found.astype(np.float64)


def _compromised(rows: NDArray[np.int64], customers: Customers, labels: Labels) -> list[int]:
    return cast("list[int]", np.unique(customers[rows[labels[rows]]]).tolist())
