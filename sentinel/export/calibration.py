"""The rows that a quantizer sees to learn the ranges of what flows through the graph."""

# onnxruntime carries no types or loose ones:
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader

from sentinel.export.rows import Rows

_SEED = 7
_MOST_FRAUDS = 0.25  # of the calibration rows
_BATCH = 512


def sample_calibration(labels: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Positions of at most `count` rows, seeded, in order; frauds are up to a quarter, however rare they are."""
    random = np.random.default_rng(_SEED)
    frauds, genuine = np.flatnonzero(labels), np.flatnonzero(~labels)
    drawn = random.permutation(frauds)[: max(1, int(count * _MOST_FRAUDS))]
    rest = random.permutation(genuine)[: count - len(drawn)]
    return np.sort(np.concatenate([drawn, rest]))


class CalibrationBatches(CalibrationDataReader):
    def __init__(self, rows: Rows) -> None:
        self._feeds = self._iterate(rows)

    def get_next(self) -> dict[str, NDArray[np.generic]]:
        return cast("dict[str, NDArray[np.generic]]", next(self._feeds, None))  # None says that was all

    @staticmethod
    def _iterate(rows: Rows) -> Iterator[dict[str, NDArray[np.generic]]]:
        """Batches of one size, which the collectors of histograms need: the first rows once more fill the last one."""
        size = min(_BATCH, len(rows))
        for start in range(0, len(rows), size):
            block = np.arange(start, start + size) % len(rows)
            feed: dict[str, NDArray[np.generic]] = {"numeric": rows.numeric[block]}
            if rows.categorical.shape[1]:
                feed["categorical"] = rows.categorical[block]
            yield feed
