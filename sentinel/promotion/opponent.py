"""The champion a candidate must not be worse than: its scores on the candidate's own test rows.

Only a fair comparison counts: rows later than everything the champion learned from, and the very features
that it was trained on. What cannot be compared fairly is a problem to be told, never a pass.
"""

# pyarrow and numpy tables carry no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sentinel.model.inputs import ModelInputs
from sentinel.promotion.layout import GRAPH, Champion
from sentinel.promotion.parts import learned_until
from sentinel.scoring import Scorer

_SCORING_THREADS = 2
_LEAST_FRAUDS = 30  # fewer, in what is left of a test part that the champion reached into, tell nothing


def face(
    champion: Champion | None, feature_set: Path, table: pa.Table, labels: NDArray[np.bool_], *, home: Path
) -> tuple[dict[str, Any], NDArray[np.float32] | None]:
    """Facts about the comparison, and the champion's score of each row of `table` (NaN where it would be unfair).

    `labels`: whether each row of `table` is fraud.
    """
    if champion is None:
        return {"version": None}, None
    facts: dict[str, Any] = {
        "version": champion.version,
        "model_sha256": champion.model_sha256,
        "release_path": champion.release_path,
        "problem": None,
    }
    release = home / champion.release_path
    if not (release / GRAPH).is_file():
        return facts | {"problem": "its release is gone"}, None
    inputs = ModelInputs.from_dict(json.loads((release / "inputs.json").read_text()))
    if missing := _changed_features(inputs, release, feature_set, table):
        return facts | {"problem": f"its inputs {', '.join(missing)} are gone or defined otherwise"}, None
    known = learned_until(release / "splits.json")
    times = table.column("event_timestamp").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    fair = times >= int(known.timestamp() * 1_000_000)
    facts |= {"learned_until": known.isoformat(), "rows": int(fair.sum()), "rows_left_out": int((~fair).sum())}
    frauds = int(labels[fair].sum())
    if not fair.all() and frauds < _LEAST_FRAUDS:
        problem = (
            f"it learned until {known:%Y-%m-%d %H:%M} UTC, which leaves {frauds} frauds of the test part to compare on"
        )
        return facts | {"problem": problem}, None
    scores = Scorer(release / GRAPH, _SCORING_THREADS).score(*inputs.encode(table))
    return facts, np.where(fair, scores, np.float32(np.nan)).astype(np.float32)


def _changed_features(inputs: ModelInputs, release: Path, feature_set: Path, table: pa.Table) -> list[str]:
    """The champion's inputs that the candidate's table lacks, or whose definition is another one there."""
    then, now = _definitions(release / "feature_set.json"), _definitions(feature_set)
    return [name for name in inputs.columns if name not in table.column_names or then.get(name) != now.get(name)]


def _definitions(file: Path) -> dict[str, Any]:
    stored = json.loads(file.read_text())
    return {entry["name"]: entry for key in ("aggregates", "ages") for entry in stored[key]}
