"""The same rows under other names: every id of a transaction, customer, merchant or further entity is replaced."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sentinel.model.inputs import ModelInputs
from sentinel.promotion.questions import ABOUT
from sentinel.scoring import Scorer


def score_renamed(inputs: ModelInputs, rows: pa.Table, feature_set: Mapping[str, Any], scorer: Scorer) -> pa.Table:
    """A row a transaction: its answer, and that under other names. The metadata say what was renamed."""
    keys = [key for age in feature_set["ages"] for key in age["keys"]]
    wanted = dict.fromkeys(["transaction_id", "customer_id", "merchant_id", *keys])
    renamed = [name for name in wanted if name in rows.column_names]
    other = rows
    for name in renamed:
        other = other.set_column(other.column_names.index(name), name, _renamed(rows.column(name)))
    answers = {"answer": scorer.score(*inputs.encode(rows)), "renamed": scorer.score(*inputs.encode(other))}
    table = pa.table({name: pa.array(values, pa.float32()) for name, values in answers.items()})
    return table.replace_schema_metadata({ABOUT: json.dumps({"renamed": renamed})})


def _renamed(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Equal ids stay equal, different ones different; none stays what it was."""
    if pa.types.is_integer(ids.type):
        return pc.call_function("bit_wise_not", [ids])
    return pc.call_function(
        "binary_join_element_wise", ["renamed", pc.call_function("utf8_reverse", [ids.cast(pa.string())]), "-"]
    )
