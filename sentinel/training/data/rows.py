"""Rows as the loop wants them: blocks of tensors on the device, derived features computed once."""

# pyarrow and torch carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
CPU = torch.device("cpu")


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

    def slices(self) -> Iterator[Rows]:
        """In order, BLOCK at a time."""
        for start in range(0, len(self), BLOCK):
            block = slice(start, start + BLOCK)
            categorical = None if self.categorical is None else self.categorical[block]
            yield Rows(self.derived[block], categorical, self.labels[block])

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
        """The rows of `order` [M], in that order, on the device, `size` at a time; the last block may be shorter."""
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
        return self.rows.take(positions.to(self.device)).to(CPU)

    def blocks(self, order: Tensor, size: int) -> Iterator[Rows]:
        for positions in order.to(self.device).split(size):
            yield self.rows.take(positions)


def make_rows(table: pa.Table, inputs: ModelInputs, derive: DerivedFeatures) -> Rows:
    """On the CPU, block by block."""
    return collect(derived_blocks([table], inputs, derive), table.num_rows, len(derive.names), inputs)


def derived_blocks(tables: Iterable[pa.Table], inputs: ModelInputs, derive: DerivedFeatures) -> Iterator[Rows]:
    """The rows of `tables` in blocks of BLOCK, however the tables are cut: the last bit must not depend on that."""
    for table in _cut(tables):
        numeric, codes = inputs.encode(table)
        with torch.inference_mode():
            derived = derive(torch.from_numpy(numeric))
        labels = torch.from_numpy(table["is_fraud"].to_numpy().astype(np.float32))
        yield Rows(derived, torch.from_numpy(codes) if inputs.categorical else None, labels)


def collect(blocks: Iterable[Rows], rows: int, width: int, inputs: ModelInputs, device: torch.device = CPU) -> Rows:
    """`blocks` as one, written straight to where they will lie: `rows` rows of `width` derived features."""
    derived = torch.empty((rows, width), device=device)
    categorical = torch.empty((rows, len(inputs.categorical)), dtype=torch.int64, device=device)
    labels = torch.empty(rows, device=device)
    start = 0
    for block in blocks:
        end = start + len(block)
        derived[start:end], labels[start:end] = block.derived, block.labels
        if block.categorical is not None:
            categorical[start:end] = block.categorical
        start = end
    return Rows(derived, categorical if inputs.categorical else None, labels)


def logits(net: FraudNet, rows: Rows) -> NDArray[np.float64]:
    """Uncalibrated logits [N] of an fp32 forward pass in evaluation mode, as the exported graph computes them."""
    return block_logits(net, rows.slices())


def block_logits(net: FraudNet, blocks: Iterable[Rows]) -> NDArray[np.float64]:
    """`logits` of rows that come block by block."""
    return _answers(net, net.score, blocks)


def network_logits(net: FraudNet, blocks: Iterable[Rows]) -> NDArray[np.float64]:
    """What the network alone answers, without the forest it is averaged with."""
    return _answers(net, net.network_logit, blocks)


def _answers(
    net: FraudNet, score: Callable[[Tensor, Tensor | None], Tensor], blocks: Iterable[Rows]
) -> NDArray[np.float64]:
    was_training = net.training
    net.eval()
    answers = [np.zeros(0, np.float32)]
    with torch.inference_mode():
        answers += [score(block.derived, block.categorical).float().cpu().numpy() for block in blocks]
    net.train(was_training)
    return np.concatenate(answers).astype(np.float64)


def _cut(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of BLOCK rows; the last may be shorter."""
    rest: pa.Table | None = None
    for table in tables:
        whole = table if rest is None else pa.concat_tables([rest, table])
        full = whole.num_rows // BLOCK * BLOCK
        for start in range(0, full, BLOCK):
            yield whole.slice(start, BLOCK)
        rest = whole.slice(full)
    if rest is not None and rest.num_rows:
        yield rest
