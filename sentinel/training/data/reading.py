"""From the feature table to the rows of a part, a block at a time: no stage holds a part's raw columns.

Training and validation rows lie on the device when memory has room for them, in a file otherwise.
"""

# pyarrow and torch carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from sentinel.training.data.rows import ResidentRows, Rows, TrainingRows, collect, derived_blocks
from sentinel.training.data.source import Source
from sentinel.training.data.stored_rows import StoredRows, store_rows
from sentinel.training.device.memory import MemoryWatch

Scorer = Callable[[Rows], NDArray[np.float64]]  # a block's rows -> a score each [N]


def open_rows(
    source: Source, part: str, inputs: ModelInputs, derive: DerivedFeatures, memory: MemoryWatch, folder: Path
) -> TrainingRows:
    """The derived rows of a part; those that do not fit the memory lie in a file of `folder`, whose owner removes it.

    Raises TrainingFailed when memory runs out on the way, DiskFull when the file does not fit.
    """
    labels = source.labels(part)
    columns = [*inputs.columns, "is_fraud"]
    blocks = _watched(derived_blocks(source.blocks(part, columns), inputs, derive), memory)
    if memory.fits(len(labels), len(derive.names), len(inputs.categorical)):
        return ResidentRows(collect(blocks, len(labels), len(derive.names), inputs, memory.device), memory.device)
    file = folder / f"{part}.arrow"
    store_rows(file, blocks, len(labels))
    return StoredRows(file, memory.device)


def load_rows(file: Path, memory: MemoryWatch) -> TrainingRows:
    """The rows of a file that `store_rows` wrote: on the device where memory has room for them."""
    stored = StoredRows(file, memory.device)
    if memory.fits(len(stored), *stored.columns):
        return ResidentRows(stored.take(torch.arange(len(stored))), memory.device)
    return stored


def score_part(
    source: Source, part: str, inputs: ModelInputs, derive: DerivedFeatures, scorers: Mapping[str, Scorer]
) -> tuple[pa.Table, dict[str, NDArray[np.float64]]]:
    """The describing columns of a part, and what each scorer says of its rows: [N], in the table's order."""
    described: list[pa.Table] = []
    scores: dict[str, list[NDArray[np.float64]]] = {name: [np.zeros(0)] for name in scorers}
    for block in derived_blocks(_kept(source, part, inputs, described), inputs, derive):
        for name, score in scorers.items():
            scores[name].append(score(block))
    return pa.concat_tables(described), {name: np.concatenate(found) for name, found in scores.items()}


def _kept(source: Source, part: str, inputs: ModelInputs, described: list[pa.Table]) -> Iterator[pa.Table]:
    """The part's blocks; the describing columns of each are put aside."""
    for block in source.blocks(part, list(dict.fromkeys([*inputs.columns, *source.described_by]))):
        described.append(block.select(list(source.described_by)))
        yield block


def _watched(blocks: Iterable[Rows], watch: Callable[[], None]) -> Iterator[Rows]:
    for block in blocks:
        watch()
        yield block
