"""Growing the forest that the network is averaged with: XGBoost's trees, carried over into the model's own tensors.

A network and a forest err differently: trees cut sharply and see few columns at a time, the network smooths over all.
"""

# xgboost carries few types, torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sentinel.config import Training
from sentinel.model.forest import Forest, ForestSize
from sentinel.training.data.rows import Rows

BINS = 2048  # of a column: with XGBoost's 256 a limit that few amounts exceed lies inside a bin
ROWS_OF_A_TREE, COLUMNS_OF_A_TREE = 0.7, 0.4  # shares, drawn for each tree
LEAF = -1


def grow_forest(sample: Rows, weights: NDArray[np.float32], settings: Training, seed: int) -> Forest:
    """`weights` [N]: for how many training rows each row of the sample stands."""
    import xgboost  # late: a process that only loads a model does without

    table, labels = _columns(sample), sample.is_fraud()
    prior = float(np.average(labels, weights=weights))
    base = float(np.log(prior / (1 - prior)))
    data = xgboost.QuantileDMatrix(
        table, label=labels, weight=weights, base_margin=np.full(len(labels), base), max_bin=BINS
    )
    booster = xgboost.train(
        {
            "objective": "binary:logistic",
            "base_score": 0.5,
            "max_depth": settings.tree_depth,
            "learning_rate": settings.tree_learning_rate,
            "subsample": ROWS_OF_A_TREE,
            "colsample_bytree": COLUMNS_OF_A_TREE,
            "max_bin": BINS,
            "tree_method": "hist",
            "nthread": torch.get_num_threads(),
            "seed": seed,
        },
        data,
        settings.trees,
    )
    grown = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
    return make_forest(grown, ForestSize(len(grown), settings.tree_depth), base, table)


def make_forest(grown: list[Mapping[str, Any]], size: ForestSize, base: float, table: NDArray[np.float32]) -> Forest:
    """From the trees of XGBoost's JSON model. `table` [N, K] is what they were grown on: it says between which values
    each threshold lies, and there it is put, so that a last bit's difference moves no row to another leaf."""
    forest = Forest(size)
    forest.base.fill_(base)
    for number, tree in enumerate(grown):
        _fill(forest, number, tree, 0, 0)
    thresholds, features = forest.threshold.numpy(), forest.feature.numpy()
    for feature in np.unique(features):
        known = np.unique(table[:, feature][np.isfinite(table[:, feature])])
        mine = features == feature
        thresholds[mine] = _between(thresholds[mine], known)
    return forest


def _fill(forest: Forest, number: int, tree: Mapping[str, Any], source: int, target: int) -> None:
    """Put the subtree at node `source` of XGBoost's tree at node `target` of the complete one."""
    nodes = forest.size.nodes
    is_leaf = tree["left_children"][source] == LEAF
    if target >= nodes:
        forest.leaf[number, target - nodes] = tree["split_conditions"][source]
        return
    if not is_leaf:
        forest.feature[number, target] = tree["split_indices"][source]
        forest.threshold[number, target] = tree["split_conditions"][source]
        forest.missing_right[number, target] = not tree["default_left"][source]
    for side, children in enumerate(("left_children", "right_children"), start=1):
        _fill(forest, number, tree, source if is_leaf else tree[children][source], 2 * target + side)


def _between(thresholds: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Midway between each threshold, itself a known value, and the largest known value below it."""
    below = np.searchsorted(known, thresholds) - 1
    lower = np.where(below >= 0, known[np.maximum(below, 0)] if len(known) else thresholds, thresholds)
    middle = ((lower.astype(np.float64) + thresholds) / 2).astype(np.float32)
    return np.where(middle > lower, middle, thresholds)


def _columns(rows: Rows) -> NDArray[np.float32]:
    """[N, D + C], as the forest reads them."""
    if rows.categorical is None:
        return rows.derived.numpy()
    return torch.cat([rows.derived, rows.categorical.float()], dim=1).numpy()
