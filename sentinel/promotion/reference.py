"""What a release remembers of its data: how each input was distributed."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sentinel.artifacts import Splits
from sentinel.model.inputs import ModelInputs, Vocabulary
from sentinel.promotion.parts import rows_of

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
_COLUMNS = 8  # read at a time; each read goes through all times


def reference_statistics(inputs: ModelInputs, splits: Splits, *, home: Path) -> dict[str, Any]:
    """Per numeric input null share, mean, deviation and quantiles, per categorical one the share of each code.

    A few columns are read at a time: the training part need not fit into memory.
    """
    groups = [inputs.numeric[at : at + _COLUMNS] for at in range(0, len(inputs.numeric), _COLUMNS)]
    numeric = {name: found for group in groups for name, found in _numeric(splits, group, home=home)}
    categorical = {known.name: _shares(known, splits, home=home) for known in inputs.categorical}
    return {"part": "train", "quantiles": list(QUANTILES), "numeric": numeric, "categorical": categorical}


def _numeric(splits: Splits, names: tuple[str, ...], *, home: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    columns = list(dict.fromkeys((*names, "event_timestamp")))
    rows = rows_of(splits, "train", home=home, columns=columns)
    for name in names:
        yield name, _numbers(ModelInputs((name,)).encode(rows)[0][:, 0])


def _numbers(values: NDArray[np.float64]) -> dict[str, Any]:
    known = np.sort(values[~np.isnan(values)])
    rows = len(values)
    if not len(known):
        return {"rows": rows, "null_share": 1.0, "mean": None, "std": None, "quantiles": None}
    positions = [round(share * (len(known) - 1)) for share in QUANTILES]
    return {
        "rows": rows,
        "null_share": 1 - len(known) / rows,
        "mean": float(known.mean()),
        "std": float(known.std()),
        "quantiles": [float(known[position]) for position in positions],
    }


def _shares(known: Vocabulary, splits: Splits, *, home: Path) -> dict[str, Any]:
    table: pa.Table = rows_of(splits, "train", home=home, columns=(known.name, "event_timestamp"))
    codes = known.encode(cast("pa.ChunkedArray", table.column(known.name).cast(pa.string())))
    counts = np.bincount(codes, minlength=known.codes) / max(1, len(codes))
    return {"rows": len(codes), "code_shares": [float(share) for share in counts]}
