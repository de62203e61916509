"""Which slices a row belongs to: amount bands, declared columns, new customers and merchants.

Training reports its figures by them, and the gates hold each against its opponent: both speak of the same rows.
"""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

LEAST = 10  # frauds, and genuine rows, below which a figure is luck
LEAST_ROWS_OF_A_VALUE = 200
MOST_VALUES = 12  # of one column that get a slice of their own; the most frequent
OTHER, MISSING = "(other)", "(missing)"
NEW, KNOWN = "new", "known"
BAND_EDGES = (0.25, 0.5, 0.75, 0.95)  # quantiles of the amounts; frauds crowd at the top


@dataclass(frozen=True)
class Grouping:
    """`codes` [N]: for each row the position of its slice in `names`."""

    by: str
    names: tuple[str, ...]
    codes: NDArray[np.int64]


def groupings_of(
    table: pa.Table, labels: NDArray[np.bool_], reference_amounts: NDArray[np.int64], feature_set: Mapping[str, Any]
) -> Iterator[Grouping]:
    """Every grouping of the rows of `table`; `reference_amounts` set the amount bands."""
    yield amount_bands(amounts_of(table), reference_amounts)
    for name in (*feature_set["categorical"], *feature_set["slices"]):
        column = table[name].cast(pa.string()).combine_chunks().dictionary_encode()
        codes = pc.fill_null(column.indices, -1).to_numpy().astype(np.int64)
        yield values_of(name, column.dictionary.to_pylist(), codes, labels)
    for age in feature_set["ages"]:
        if age["kind"] == "spending":  # null: the key's first transaction within the longest window
            yield new_or_known(age["entity"], table[age["name"]].is_null().to_numpy())


def amounts_of(table: pa.Table) -> NDArray[np.int64]:
    """In minor units; an unknown one counts as nothing."""
    return cast("NDArray[np.int64]", pc.fill_null(table["amount_minor"], 0).to_numpy())


def amount_bands(amounts: NDArray[np.int64], reference: NDArray[np.int64]) -> Grouping:
    """Bands between quantiles of the `reference` amounts, those of the calibration part, in minor units."""
    edges = np.unique(np.quantile(reference, BAND_EDGES, method="higher"))
    starts = [f"{edge + 1:,}" for edge in edges]
    names = [f"up to {edges[0]:,}"]
    names += [f"{start} to {end:,}" for start, end in zip(starts, edges[1:], strict=False)]
    return Grouping("amount_minor", (*names, f"{starts[-1]} and more"), np.searchsorted(edges, amounts, "left"))


def values_of(by: str, values: Sequence[str], codes: NDArray[np.int64], labels: NDArray[np.bool_]) -> Grouping:
    """Slices by the `values` of a column, `codes` [N] their positions, -1 for missing; rare values come together."""
    rows = np.bincount(codes[codes >= 0], minlength=len(values))
    frauds = np.bincount(codes[(codes >= 0) & labels], minlength=len(values))
    by_rows = np.lexsort((np.array(values, np.str_), -rows))
    frequent = (rows >= LEAST_ROWS_OF_A_VALUE) | (frauds >= LEAST)
    kept = [int(value) for value in by_rows if frequent[value]][:MOST_VALUES]
    position = np.full(len(values) + 1, len(kept))
    position[kept] = np.arange(len(kept))
    position[-1] = len(kept) + 1  # where the code -1 points
    return Grouping(by, (*(values[value] for value in kept), OTHER, MISSING), position[codes])


def new_or_known(by: str, is_new: NDArray[np.bool_]) -> Grouping:
    return Grouping(by, (NEW, KNOWN), np.where(is_new, 0, 1))
