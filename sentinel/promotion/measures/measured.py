"""What a measure of the evidence comes to: a value, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sentinel.config import GateCase
from sentinel.promotion.evidence import Evidence


@dataclass(frozen=True)
class Measured:
    """`interval`: of 95 %, where the gate decides by it and not by the value alone."""

    value: float
    sentence: str
    interval: tuple[float, float] | None = None


Measure = Callable[[Evidence], Measured]


class UnmeasuredError(Exception):
    """Why there is no value, in a sentence. The gate fails."""


class UndecidedError(Exception):
    """Why the data do not suffice to tell, in a sentence. The gate waits for a reviewer."""


class InapplicableError(Exception):
    """Why there is nothing to ask, in a sentence. The gate fails unless the configuration lists the case."""

    def __init__(self, case: GateCase, sentence: str) -> None:
        super().__init__(sentence)
        self.case: GateCase = case


# What reading evidence that is missing, cut short or of another shape raises (Arrow's errors are among these).
NOT_THERE = (
    OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError,
    NotImplementedError, UnmeasuredError,
)  # fmt: skip
