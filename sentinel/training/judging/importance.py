"""What each raw input is worth: the pr_auc that is lost when its values are shuffled among the rows."""

# pyarrow and torch carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from sentinel.metrics import pr_auc
from sentinel.model.network import FraudNet

SAMPLE = 8_000  # rows, at most, of which every fraud


def permutation_importance(net: FraudNet, table: pa.Table, seed: int) -> dict[str, float]:
    """Loss of pr_auc by input, largest first, on the rows of `table`."""
    generator = np.random.default_rng(seed)
    labels = table["is_fraud"].to_numpy().astype(bool)
    numeric, codes = net.inputs.encode(table)
    best = pr_auc(labels, _logits(net, numeric, codes))
    lost: dict[str, float] = {}
    for name, matrix, column in _columns(net, numeric, codes):
        kept = matrix[:, column].copy()
        matrix[:, column] = generator.permutation(kept)
        lost[name] = best - pr_auc(labels, _logits(net, numeric, codes))
        matrix[:, column] = kept
    return dict(sorted(lost.items(), key=lambda entry: -entry[1]))


def _columns(
    net: FraudNet, numeric: NDArray[np.float64], codes: NDArray[np.int64]
) -> list[tuple[str, NDArray[np.float64] | NDArray[np.int64], int]]:
    found: list[tuple[str, NDArray[np.float64] | NDArray[np.int64], int]] = []
    found += [(name, numeric, column) for column, name in enumerate(net.inputs.numeric)]
    found += [(vocabulary.name, codes, column) for column, vocabulary in enumerate(net.inputs.categorical)]
    return found


def importance_rows(labels: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Positions, ascending, of a sample of labels [N] that keeps every fraud it can."""
    generator = np.random.default_rng(seed)
    frauds, genuine = np.flatnonzero(labels), np.flatnonzero(~labels)
    frauds = generator.permutation(frauds)[: SAMPLE // 2]
    genuine = generator.permutation(genuine)[: SAMPLE - len(frauds)]
    return np.sort(np.concatenate([frauds, genuine]))


def _logits(net: FraudNet, numeric: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float32]:
    device = net.scale.device
    with torch.inference_mode():
        categorical = torch.from_numpy(codes).to(device) if net.inputs.categorical else None
        return net.logits(torch.from_numpy(numeric).to(device), categorical).float().cpu().numpy()
