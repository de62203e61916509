"""Rows as the loop wants them: blocks of tensors on the device, derived features computed once."""

# pyarrow and torch carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from sentinel.model.network import FraudNet

BLOCK = 8192  # rows that are derived or scored at once: their float64 intermediates stay in the cache


@dataclass(frozen=True)
class Rows:
    """derived float32 [N, D], categorical int64 [N, C] (None when C = 0), labels float32 [N]."""

    derived: Tensor
    categorical: Tensor | None
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: Tensor) -> Rows:
        categorical = None if self.categorical is None else self.categorical[positions]
        return Rows(self.derived[positions], categorical, self.labels[positions])

    def to(self, device: torch.device) -> Rows:
        categorical = None if self.categorical is None else self.categorical.to(device)
        return Rows(self.derived.to(device), categorical, self.labels.to(device))

    def is_fraud(self) -> NDArray[np.bool_]:
        return self.labels.cpu().numpy() > 0


class TrainingRows(Protocol):
    """The rows that are trained on, wherever they lie: of whichever kind, the same order gives the same blocks."""

    labels: Tensor  # float32 [N] on the CPU

    def __len__(self) -> int: ...

    def take(self, positions: Tensor) -> Rows:
        """The rows of `positions` [M], in that order, on the CPU."""
        ...

    def blocks(self, order: Tensor, size: int) -> Iterator[Rows]:
        """The rows of `order` [M], in that order, on the device, `size` at a time; the last block may be shorter.

        A block holds until the next one is asked for.
        """
        ...


class ResidentRows:
    """All rows on the device: a block is one gather, without worker processes or copies."""

    def __init__(self, rows: Rows, device: torch.device) -> None:
        self.labels = rows.labels.cpu()
        self.rows = rows.to(device)
        self.device = device

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Tensor) -> Rows:
        return self.rows.take(positions.to(self.device)).to(torch.device("cpu"))

    def blocks(self, order: Tensor, size: int) -> Iterator[Rows]:
        for positions in order.to(self.device).split(size):
            yield self.rows.take(positions)


def make_rows(table: pa.Table, inputs: ModelInputs, derive: DerivedFeatures) -> Rows:
    """On the CPU, block by block."""
    derived = torch.empty((table.num_rows, len(derive.names)))
    categorical = torch.empty((table.num_rows, len(inputs.categorical)), dtype=torch.int64)
    with torch.inference_mode():
        for start in range(0, table.num_rows, BLOCK):
            numeric, codes = inputs.encode(table.slice(start, BLOCK))
            derived[start : start + BLOCK] = derive(torch.from_numpy(numeric))
            categorical[start : start + BLOCK] = torch.from_numpy(codes)
    labels = torch.from_numpy(table["is_fraud"].to_numpy().astype(np.float32))
    return Rows(derived, categorical if inputs.categorical else None, labels)


def logits(net: FraudNet, rows: Rows) -> NDArray[np.float64]:
    """Uncalibrated logits [N] of an fp32 forward pass in evaluation mode, as the exported graph computes them."""
    was_training = net.training
    net.eval()
    answers: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            codes = None if rows.categorical is None else rows.categorical[block]
            answers.append(net.score(rows.derived[block], codes).float().cpu().numpy())
    net.train(was_training)
    return np.concatenate(answers).astype(np.float64)
