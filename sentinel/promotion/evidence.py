"""What the gates are computed from: files that stay with the release, so that every value can be computed again.

`collect` measures and writes them; `Evidence` reads them. Which value a file must hold is the gates' affair.
"""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sentinel.artifacts import (
    Candidates,
    FeatureAudit,
    FeatureTable,
    OnnxModel,
    Splits,
    TrainedModel,
    ValidatedData,
)
from sentinel.errors import RecordInvalid
from sentinel.model.inputs import ModelInputs
from sentinel.progress import Progress, silent
from sentinel.promotion.latency import measure_in_clean_process
from sentinel.promotion.layout import Champion
from sentinel.promotion.opponent import face
from sentinel.promotion.parts import rows_of
from sentinel.scoring import Scorer
from sentinel.storage import sha256_file, write_json

SCORES = "scores.parquet"
VERDICT = "verdict.json"
AUDIT = "audit.json"
ONLINE = "online.json"
PARITY = "parity.json"
LATENCY = "latency.json"
TRAINING = "training.json"
CHAMPION = "champion.json"
_SCORING_THREADS = 2  # of the gate's own pass over the test rows; latency is measured with one
_LATENCY_ROWS = 1000
_KEPT = ("transaction_id", "event_timestamp", "amount_minor", "is_fraud", "logistic")


@dataclass(frozen=True)
class Candidate:
    """The artifacts of the run that made it. `online`: whether the online store holds its features now, and why."""

    validated: ValidatedData
    splits: Splits
    audit: FeatureAudit
    trained: TrainedModel
    onnx: OnnxModel
    variants: Candidates
    online: Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """The evidence in one folder. A missing or damaged file shows as an exception at first use."""

    folder: Path

    @cached_property
    def scores(self) -> pa.Table:
        """A row a test transaction: label, and the scores `serving`, `fp32`, `logistic` and, if any, `champion`."""
        return pq.read_table(self.folder / SCORES)

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        return self._column("is_fraud").astype(bool)

    def score(self, name: str) -> NDArray[np.float64]:
        """One score a test row; NaN where there is none."""
        return self._column(name).astype(np.float64)

    def read(self, name: str) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads((self.folder / name).read_text()))

    def _column(self, name: str) -> NDArray[Any]:
        if name not in self.scores.column_names:
            raise KeyError(f"{SCORES} has no column {name}")
        return cast("NDArray[Any]", self.scores.column(name).to_numpy())


def collect(
    candidate: Candidate,
    champion: Champion | None,
    champion_table: FeatureTable | None = None,
    *,
    home: Path,
    folder: Path,
    progress: Progress = silent,
) -> None:
    """Write the evidence about one candidate into `folder`; what another stage did not leave is left out here too.

    `champion_table`: the champion's own features of the same transactions; None: those of the candidate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained, onnx = candidate.trained.locate(home), candidate.onnx.locate(home)
    splits, candidates = candidate.splits, candidate.variants
    _copy(candidate.validated.locate(home) / VERDICT, folder)
    _copy(candidate.audit.locate(home) / AUDIT, folder)
    _copy(onnx / PARITY, folder)
    _copy(trained / TRAINING, folder)
    write_json(folder / ONLINE, dict(candidate.online))
    progress(0, 5, "reading the test rows")
    scored = _scored_test_rows(trained / "scores.parquet")
    inputs = ModelInputs.from_dict(json.loads((onnx / "inputs.json").read_text()))
    table = _aligned(rows_of(splits, "test", home=home), scored)
    numeric, categorical = inputs.encode(table)

    progress(1, 5, "scoring the test rows with fp32")
    serving, fp32 = serving_graph(candidates, home=home), onnx / "fp32.onnx"
    scores = {"fp32": Scorer(fp32, _SCORING_THREADS).score(numeric, categorical)}
    progress(2, 5, f"scoring the test rows with {candidates.chosen}")
    same = sha256_file(serving) == sha256_file(fp32)
    scores["serving"] = scores["fp32"] if same else Scorer(serving, _SCORING_THREADS).score(numeric, categorical)

    progress(3, 5, "scoring the test rows with the champion")
    labels = cast("NDArray[np.bool_]", scored.column("is_fraud").to_numpy()).astype(bool)
    own = champion_table.locate(home) if champion_table else (home / splits.table).parent
    faced = (
        _aligned(rows_of(splits, "test", home=home, file=own / "features.parquet"), scored) if champion_table else table
    )
    facts, champion_scores = face(champion, own / "feature_set.json", faced, labels, home=home)
    write_json(folder / CHAMPION, facts)
    if champion_scores is not None:
        scores["champion"] = champion_scores
    kept = scored.select([name for name in _KEPT if name in scored.column_names])
    for name, values in scores.items():
        kept = kept.append_column(name, pa.array(values, pa.float32()))
    pq.write_table(kept, folder / SCORES, compression="zstd")

    progress(4, 5, "measuring the latency in a clean process")
    rows = np.linspace(0, len(numeric) - 1, min(_LATENCY_ROWS, len(numeric))).astype(int)
    write_json(folder / LATENCY, measure_in_clean_process(serving, numeric[rows], categorical[rows]))
    progress(5, 5, "")


def serving_graph(candidates: Candidates, *, home: Path) -> Path:
    """The graph that would serve, found by its digest. Raises RecordInvalid when no file has it."""
    folder = candidates.locate(home)
    found = [path for path in sorted(folder.rglob("*.onnx")) if sha256_file(path) == candidates.model_sha256]
    if not found:
        raise RecordInvalid(
            f"No graph in {folder} has the digest {candidates.model_sha256[:16]} of the variant that was chosen "
            f"({candidates.chosen}). Run again: the variants are made anew."
        )
    return found[0]


def _copy(source: Path, folder: Path) -> None:
    if source.is_file():
        shutil.copyfile(source, folder / source.name)


def _scored_test_rows(file: Path) -> pa.Table:
    """The test rows as training left them: their labels and the logistic baseline's scores."""
    table = pq.read_table(file)
    scored = table.filter(pc.call_function("equal", [table.column("split").cast(pa.string()), pa.scalar("test")]))
    if not scored.num_rows:
        raise RecordInvalid(f"{file} has no rows of the test part, so nothing can be judged. Run the training again.")
    return scored


def _aligned(table: pa.Table, scored: pa.Table) -> pa.Table:
    """The feature rows of the scored transactions, in their order. Raises RecordInvalid when one is missing."""
    wanted = scored.column("transaction_id")
    if table.column("transaction_id").equals(wanted):
        return table
    position = pc.call_function(
        "index_in", [wanted], options=pc.SetLookupOptions(table.column("transaction_id").combine_chunks())
    )
    if position.null_count:
        raise RecordInvalid(
            f"{position.null_count} of {scored.num_rows} scored test rows are not in the feature table's test part: "
            "scores and features are of different runs. Run the training again."
        )
    return table.take(position)
