"""The evidence about one candidate, measured and written: what the gates are then computed from."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
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
from sentinel.progress import Progress, silent
from sentinel.promotion.evidence import (
    ANSWERS,
    AUDIT,
    BLOCK,
    CHAMPION,
    DRAWS,
    INPUTS,
    LATENCY,
    ODD_INPUTS,
    ONLINE,
    PARITY,
    RAISED_AMOUNTS,
    RENAMED_IDS,
    SCORES,
    SLICE,
    TRAINING,
    VERDICT,
)
from sentinel.promotion.judged_rows import JudgedRows, read_judged_rows
from sentinel.promotion.layout import EVIDENCE, GOLDEN, Champion
from sentinel.promotion.measures import bootstrap
from sentinel.promotion.parts import aligned, rows_of
from sentinel.promotion.probes.golden import golden_rows, golden_set, numbers
from sentinel.promotion.probes.odd_inputs import ROWS as ODD_ROWS
from sentinel.promotion.probes.odd_inputs import ask_odd_inputs
from sentinel.promotion.probes.opponent import Faced, face
from sentinel.promotion.probes.raised_amounts import raise_amounts
from sentinel.promotion.probes.renamed_ids import score_renamed
from sentinel.promotion.probes.serving_process import measure_in_clean_process
from sentinel.scoring import Probability, Scorer
from sentinel.slices import groupings_of
from sentinel.storage import sha256_file, write_json

_SCORING_THREADS = 2  # of the gate's own pass over the test rows; latency is measured with one
_SPREAD_ROWS = 1000  # of the rows that are asked again, one by one or under other names
_KEPT = ("transaction_id", "event_timestamp", "amount_minor", "logistic")
_STEPS = 10


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


def collect(
    candidate: Candidate,
    champion: Champion | None,
    champion_table: FeatureTable | None = None,
    *,
    home: Path,
    out: Path,
    progress: Progress = silent,
) -> None:
    """Write golden.json and the evidence into `out`; what another stage did not leave is left out here too.

    `champion_table`: the champion's own features of the same transactions; None: those of the candidate.
    """
    folder = out / EVIDENCE
    folder.mkdir(parents=True, exist_ok=True)
    _copy_verdicts(candidate, home=home, folder=folder)
    progress(0, _STEPS, "reading the test rows")
    rows = read_judged_rows(candidate.trained, candidate.onnx, candidate.splits, home=home)
    graph = serving_graph(candidate.variants, home=home)
    serving = Scorer(graph, _SCORING_THREADS)

    scores = _scores(candidate, rows, serving, home=home, progress=progress)
    progress(3, _STEPS, "scoring the test rows with the champion")
    faced = _face(champion, champion_table, candidate.splits, rows, home=home)
    write_json(folder / CHAMPION, faced.facts)
    _write_scores(folder, rows, scores, faced)
    write_json(folder / DRAWS, {"seed": int(candidate.variants.model_sha256[:8], 16), "count": bootstrap.DRAWS})

    progress(4, _STEPS, "asking what no honest caller asks")
    _ask(folder, rows, serving)
    progress(6, _STEPS, "measuring in a clean process")
    golden = golden_rows(scores["serving"])
    numeric, categorical = rows.at(golden)
    questions = np.where(np.isfinite(numeric), numeric, np.nan), categorical  # as they are written
    asked = golden_set(rows.inputs, *questions, serving)
    write_json(out / GOLDEN, asked)
    measured = measure_in_clean_process(graph, rows.at(rows.spread(_SPREAD_ROWS)), questions)
    again = measured.pop("golden", [])
    write_json(folder / LATENCY, measured)
    theirs = None if faced.scores is None else numbers(faced.scores[golden])
    answers = {"served": asked["probability"], "champion": theirs, "again": again}
    write_json(folder / ANSWERS, answers | {"problem": measured.get("problem")})


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


def _copy_verdicts(candidate: Candidate, *, home: Path, folder: Path) -> None:
    trained, onnx = candidate.trained.locate(home), candidate.onnx.locate(home)
    sources = (
        candidate.validated.locate(home) / VERDICT, candidate.audit.locate(home) / AUDIT, onnx / PARITY,
        onnx / INPUTS, trained / TRAINING,
    )  # fmt: skip
    for source in sources:
        if source.is_file():
            shutil.copyfile(source, folder / source.name)
    write_json(folder / ONLINE, dict(candidate.online))


def _scores(
    candidate: Candidate, rows: JudgedRows, serving: Scorer, *, home: Path, progress: Progress
) -> dict[str, Probability]:
    """Of every test row, by fp32 and by the variant that would serve."""
    progress(1, _STEPS, "scoring the test rows with fp32")
    fp32 = candidate.onnx.locate(home) / "fp32.onnx"
    scores = {"fp32": Scorer(fp32, _SCORING_THREADS).score(rows.numeric, rows.categorical)}
    progress(2, _STEPS, f"scoring the test rows with {candidate.variants.chosen}")
    is_same = sha256_file(fp32) == candidate.variants.model_sha256
    return scores | {"serving": scores["fp32"] if is_same else serving.score(rows.numeric, rows.categorical)}


def _face(
    champion: Champion | None, champion_table: FeatureTable | None, splits: Splits, rows: JudgedRows, *, home: Path
) -> Faced:
    if champion_table is None:
        return face(champion, (home / splits.table).parent / "feature_set.json", rows.table, home=home)
    own = champion_table.locate(home)
    table = aligned(rows_of(splits, "test", home=home, file=own / "features.parquet"), rows.scored)
    return face(champion, own / "feature_set.json", table, home=home)


def _write_scores(folder: Path, rows: JudgedRows, scores: Mapping[str, Probability], faced: Faced) -> None:
    """A row a test transaction. Customers are numbered: a release names none."""
    scored = rows.scored
    labels = cast("NDArray[Any]", scored.column("is_fraud").to_numpy()).astype(bool)
    kept = scored.select(list(_KEPT)).append_column("is_fraud", pa.array(labels))
    customers = scored.column("customer_id").combine_chunks().dictionary_encode().indices
    blocks = cast("NDArray[np.int32]", customers.to_numpy()) % bootstrap.MOST_BLOCKS
    kept = kept.append_column(BLOCK, pa.array(blocks, pa.int32()))
    for grouping in groupings_of(scored, labels, rows.reference_amounts, rows.feature_set):
        names = pa.DictionaryArray.from_arrays(grouping.codes.astype(np.int32), list(grouping.names))
        kept = kept.append_column(f"{SLICE}{grouping.by}", names)
    fair = {} if faced.fair_scores is None else {"champion": faced.fair_scores}
    for name, values in {**scores, **fair}.items():
        kept = kept.append_column(name, pa.array(values, pa.float32()))
    pq.write_table(kept, folder / SCORES, compression="zstd")


def _ask(folder: Path, rows: JudgedRows, serving: Scorer) -> None:
    odd = ask_odd_inputs(rows.inputs, *rows.at(rows.spread(ODD_ROWS)), serving)
    renamed = score_renamed(rows.inputs, rows.table.take(rows.spread(_SPREAD_ROWS)), rows.feature_set, serving)
    raised = raise_amounts(rows.inputs, rows.table, rows.numeric, rows.categorical, rows.feature_set, serving)
    for name, table in ((ODD_INPUTS, odd), (RENAMED_IDS, renamed), (RAISED_AMOUNTS, raised)):
        pq.write_table(table, folder / name, compression="zstd")
