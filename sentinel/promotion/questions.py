"""What the gates ask of a graph besides its test rows: shared by those who ask and those who judge the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

CLOSE = 1e-3  # of probability: the integer instructions of another processor may round otherwise
ABOUT = b"about"  # key of a table's metadata: JSON with what its rows are
ALL_INPUTS = "(all)"
NONSENSE = "nonsense"
FACTORS = (1.5, 2.0, 4.0)  # of an amount
OF_FACTOR = "times {factor:g}"  # column of the answers
ODD_NUMBERS: Mapping[str, float] = {
    "missing": math.nan, "infinite": math.inf, "minus infinite": -math.inf, "largest": 1.7e308, "smallest": -1.7e308,
    "beyond whole numbers": 1e16, "least above zero": 5e-324, "zero": 0.0, "negative": -1.0,
}  # fmt: skip
ODD_CODES: Mapping[str, int] = {
    "missing": 0, "unknown": 1, "beyond the known": 100_000, "negative": -1, "largest": 2**63 - 1, "smallest": -(2**63),
}  # fmt: skip


@dataclass(frozen=True)
class Way:
    """How the golden questions are answered once more. `batch` 0: all at once.

    Without the runtime's optimizations the graph's nodes run one by one, which is as near as one machine comes to the
    kernels of another: integer products are then computed as what they stand for.
    """

    threads: int
    batch: int
    is_optimized: bool


WAYS = (Way(1, 1, True), Way(1, 0, True), Way(4, 0, True), Way(2, 1, False), Way(1, 0, False))
