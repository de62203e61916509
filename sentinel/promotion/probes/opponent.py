"""The champion a candidate must not be worse than: its scores on the candidate's own test rows.

It is asked with the very features that it was trained on, or not at all: that is a problem to be told, never a pass.
Quality is compared on rows later than everything it learned from.
"""

# pyarrow and numpy tables carry no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Faced:
    """`scores`: the champion's, a test row each; None where it could not be asked. `is_fair` [N]: rows that count."""

    facts: dict[str, Any]
    scores: NDArray[np.float32] | None = None
    is_fair: NDArray[np.bool_] | None = None

    @property
    def fair_scores(self) -> NDArray[np.float32] | None:
        """NaN where a comparison would be unfair."""
        if self.scores is None or self.is_fair is None:
            return None
        return np.where(self.is_fair, self.scores, np.float32(np.nan)).astype(np.float32)


def face(champion: Champion | None, feature_set: Path, table: pa.Table, *, home: Path) -> Faced:
    """`table`: the test rows with the champion's features, which `feature_set` defines."""
    if champion is None:
        return Faced({"version": None})
    facts: dict[str, Any] = {
        "version": champion.version,
        "model_sha256": champion.model_sha256,
        "release_path": champion.release_path,
        "problem": None,
    }
    release = home / champion.release_path
    if not (release / GRAPH).is_file():
        return Faced(facts | {"problem": "its release is gone"})
    inputs = ModelInputs.from_dict(json.loads((release / "inputs.json").read_text()))
    if missing := _changed_features(inputs, release, feature_set, table):
        return Faced(facts | {"problem": f"its inputs {', '.join(missing)} are gone or defined otherwise"})
    known = learned_until(release / "splits.json")
    times = table.column("event_timestamp").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    is_fair = times >= int(known.timestamp() * 1_000_000)
    facts |= {"learned_until": f"{known:%Y-%m-%d %H:%M} UTC", "rows": int(is_fair.sum())}
    facts |= {"rows_left_out": int((~is_fair).sum())}
    return Faced(facts, Scorer(release / GRAPH, _SCORING_THREADS).score(*inputs.encode(table)), is_fair)


def _changed_features(inputs: ModelInputs, release: Path, feature_set: Path, table: pa.Table) -> list[str]:
    """The champion's inputs that the candidate's table lacks, or whose definition is another one there."""
    then, now = _definitions(release / "feature_set.json"), _definitions(feature_set)
    return [name for name in inputs.columns if name not in table.column_names or then.get(name) != now.get(name)]


def _definitions(file: Path) -> dict[str, Any]:
    stored = json.loads(file.read_text())
    return {entry["name"]: entry for key in ("aggregates", "ages") for entry in stored[key]}
