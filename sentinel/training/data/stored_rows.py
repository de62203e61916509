"""Rows in a file, for a table larger than the memory: an uncompressed Arrow IPC file, mapped and read in blocks.

One thread gathers the next rows while the present ones are trained on, and ends with its iterator.
"""

# pyarrow and torch carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentinel.storage import complete_file, require_free_disk
from sentinel.training.data.rows import CPU, Rows

BATCH_BYTES = 16_000_000  # of a record batch: what is held to write it, and mapped to read from it
AHEAD = 8_192  # rows, at least, that are gathered at once: sorted, they are read in the order of the file


def row_bytes(derived: int, categorical: int) -> int:
    """Of one stored row: derived features and label as float32, codes as int32."""
    return 4 * (derived + categorical + 1)


def store_rows(file: Path, blocks: Iterable[Rows], rows: int) -> None:
    """Write `blocks`, `rows` rows in all, as an Arrow IPC file. Raises DiskFull when they do not fit the disk."""
    blocks = iter(blocks)
    first = next(blocks)
    widths = first.derived.shape[1], 0 if first.categorical is None else first.categorical.shape[1]
    require_free_disk(file, rows * row_bytes(*widths))
    schema = _record_batch([first]).schema
    with (
        complete_file(file) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        waiting: list[Rows] = []
        for block in chain([first], blocks):
            waiting.append(block)
            if sum(map(len, waiting)) * row_bytes(*widths) >= BATCH_BYTES:
                writer.write_batch(_record_batch(waiting))
                waiting = []
        if waiting:
            writer.write_batch(_record_batch(waiting))


def _record_batch(blocks: list[Rows]) -> pa.RecordBatch:
    derived = torch.cat([block.derived for block in blocks])
    columns = {"derived": _fixed_size_lists(derived.numpy())}
    codes = [block.categorical for block in blocks if block.categorical is not None]
    if codes:
        columns["categorical"] = _fixed_size_lists(torch.cat(codes).int().numpy())
    columns["label"] = pa.array(torch.cat([block.labels for block in blocks]).numpy())
    return pa.record_batch(columns)


def _fixed_size_lists(matrix: NDArray[Any]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])


@dataclass(frozen=True)
class _Gathered:
    """Rows in host memory (pinned where they go to a GPU), codes still int32."""

    derived: Tensor
    categorical: Tensor | None
    labels: Tensor

    def to(self, device: torch.device) -> Rows:
        """The copy to a GPU is not waited for: pinned memory is not reused before it is done."""
        moved = [None if each is None else each.to(device, non_blocking=True) for each in self._parts()]
        derived, categorical, labels = moved
        assert derived is not None and labels is not None
        return Rows(derived, None if categorical is None else categorical.long(), labels)

    def _parts(self) -> tuple[Tensor, Tensor | None, Tensor]:
        return self.derived, self.categorical, self.labels


class StoredRows:
    """The rows of a file that `store_rows` wrote. Whoever gave the file removes it."""

    def __init__(self, file: Path, device: torch.device) -> None:
        self.device = device
        with file.open("rb") as opened:
            self._mapping = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self._mapping)))
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        self._derived = [_matrix(batch["derived"]) for batch in batches]
        has_codes = "categorical" in reader.schema.names
        self._codes = [_matrix(batch["categorical"]) for batch in batches] if has_codes else []
        self.labels = torch.from_numpy(np.concatenate([batch["label"].to_numpy() for batch in batches]))
        self._let_go()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def columns(self) -> tuple[int, int]:
        """How many derived features, and how many codes, a row has."""
        return self._derived[0].shape[1], self._codes[0].shape[1] if self._codes else 0

    def take(self, positions: Tensor) -> Rows:
        return self._gather(positions, pinned=False).to(CPU)

    def blocks(self, order: Tensor, size: int) -> Iterator[Rows]:
        pinned = self.device.type == "cuda"
        parts = order.cpu().split(size * max(1, AHEAD // size))
        with ThreadPoolExecutor(1, "rows-ahead") as ahead:
            coming = ahead.submit(self._gather, parts[0], pinned)
            for following in (*parts[1:], None):
                gathered = coming.result()
                if following is not None:
                    coming = ahead.submit(self._gather, following, pinned)
                yield from _split(gathered.to(self.device), size)

    def _gather(self, positions: Tensor, pinned: bool) -> _Gathered:
        """In the order of `positions`, read in the order of the file."""
        ordered, back = np.unique(positions.numpy(), return_inverse=True)
        derived = _in_order(self._read(self._derived, ordered), back, pinned)
        codes = _in_order(self._read(self._codes, ordered), back, pinned) if self._codes else None
        labels = _in_order(self.labels.numpy()[ordered], back, pinned)
        return _Gathered(derived, codes, labels)

    def _read(self, batches: list[NDArray[Any]], ordered: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at `ordered`, ascending, of a matrix that lies in `batches`."""
        found = np.empty((len(ordered), batches[0].shape[1]), batches[0].dtype)
        edges = np.searchsorted(ordered, self._starts)
        for number in np.flatnonzero(np.diff(edges)):
            rows = slice(edges[number], edges[number + 1])
            # "clip" writes straight into `out`; the positions are within the batch anyway.
            np.take(batches[number], ordered[rows] - self._starts[number], axis=0, out=found[rows], mode="clip")
            self._let_go()
        return found

    def _let_go(self) -> None:
        """Touched pages stay in the kernel's cache, but are not this process's memory any more.

        Each touched one may have brought its neighbours, to 2 MB.
        """
        self._mapping.madvise(mmap.MADV_DONTNEED)


def _matrix(column: pa.FixedSizeListArray) -> NDArray[Any]:
    """[rows, width], not copied."""
    return column.flatten().to_numpy(zero_copy_only=True).reshape(len(column), column.type.list_size)


def _in_order(found: NDArray[Any], back: NDArray[np.int64], pinned: bool) -> Tensor:
    target = torch.empty((len(back), *found.shape[1:]), dtype=torch.from_numpy(found).dtype, pin_memory=pinned)
    # numpy, because torch would start a second set of threads in this one
    np.take(found, back, axis=0, out=target.numpy(), mode="clip")
    return target


def _split(rows: Rows, size: int) -> Iterator[Rows]:
    codes = [None] * len(rows.labels.split(size)) if rows.categorical is None else rows.categorical.split(size)
    for derived, categorical, labels in zip(rows.derived.split(size), codes, rows.labels.split(size), strict=True):
        yield Rows(derived, categorical, labels)
