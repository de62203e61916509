"""The protocol of the published tables: Reproducible Machine Learning for Credit Card Fraud Detection (ULB, 2022).

Train on `[start, start + 7 days)`, wait 7 days, test on the 7 days after. On each test day, customers with a fraud
known by then are left out: those of the training week, and of the days that came in from the waiting week since.
"""

from __future__ import annotations

from collections.abc import Sequence
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

Days = NDArray[np.int64]  # since 1970-01-01
Customers = NDArray[np.int64]
Labels = NDArray[np.bool_]


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


def hindsight_scores(scenarios: Sequence[str | None], known_frauds: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far one can roughly get: scenarios 1 and 3 known perfectly, 2 once its terminal has a known fraud.

    `known_frauds`: how many of the terminal's frauds had a label by then, NaN when it had no label at all.
    """
    scenario = np.asarray([name or "0" for name in scenarios])
    found = np.isin(scenario, ("1", "3")) | ((scenario == "2") & (np.nan_to_num(known_frauds) > 0))
    return found.astype(np.float64)


def _compromised(rows: NDArray[np.int64], customers: Customers, labels: Labels) -> list[int]:
    return cast("list[int]", np.unique(customers[rows[labels[rows]]]).tolist())
