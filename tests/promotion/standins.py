"""Small artifacts of the stages before promotion: real files, and graphs that ONNX Runtime runs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as build
import pyarrow as pa
import pyarrow.parquet as pq

from sentinel.artifacts import (
    Candidates,
    FeatureAudit,
    FeatureTable,
    GateReport,
    Libraries,
    OnnxModel,
    Release,
    Splits,
    TrainedModel,
    ValidatedData,
)
from sentinel.config import Gates
from sentinel.promotion.collection import Candidate
from sentinel.promotion.judging import judge
from sentinel.promotion.layout import Champion
from sentinel.promotion.release import Provenance, package
from sentinel.scoring import Scorer
from sentinel.storage import sha256_file, sha256_path, write_json
from tests.tables import START, canonical_table

NUMERIC = ("event_timestamp", "amount_minor", "customer_count_1d", "customer_spending_age_us")
RUN_ID = "0" * 32
GATES = Gates(
    min_pr_auc=0.3, max_calibration_error=0.05, max_latency_p99_ms=1000.0, min_slice_rows=200, min_slice_frauds=20
)
DATA_PROFILE = {"rows": 1}
PROVENANCE = Provenance("d" * 32, "1" * 64, "c" * 40, True, 7, {"torch": "2.13.0"})
REPEATED = {
    "verdict": "bit-exact", "kind": "bit-exact", "largest_difference": 0.0, "first_step_that_differs": None,
    "steps": 30, "seconds": 4.0, "problem": None,
}  # fmt: skip
ONLINE = {"is_online": True, "reason": "The online store holds them.", "sampled": 300, "mismatches": 0}
_OF_ALL = {"value": 0.5, "low": 0.4, "high": 0.6}
_SLICE = {"by": "country", "name": "<DE>", "rows": 500, "frauds": 60, "alerts_a_day": 1.5, "recall": _OF_ALL,
          "false_positive_rate": {"value": 0.01, "low": 0.005, "high": 0.02}, "pr_auc": "too few"}  # fmt: skip
QUALITY = {
    "threshold": 0.35,
    "threshold_budget": {"budget": "alerts_a_day", "asked": 12, "kept_on_calibration": 11.9},
    "metrics": {
        "test": {
            "alerts_a_day": 12.5, "caught_fraud_amount_minor": 300_000.0, "missed_fraud_amount_minor": 100_000.0,
        },
    },
    "intervals": dict.fromkeys(
        ("pr_auc", "roc_auc", "expected_calibration_error", "recall", "false_positive_rate", "precision"), _OF_ALL
    ),
    "slices": [_SLICE],
}  # fmt: skip
_DAYS = {"train": (10, 50), "validation": (50, 57), "calibration": (57, 64), "test": (64, 85)}


@dataclass(frozen=True)
class Stages:
    """One candidate's artifacts below `home`."""

    home: Path
    validated: ValidatedData
    table: FeatureTable
    splits: Splits
    audit: FeatureAudit
    trained: TrainedModel
    onnx: OnnxModel
    candidates: Candidates
    libraries: Libraries


def graph(file: Path, amount_weight: float = 1.5e-3, *, bias: float = -9.0) -> Path:
    """A logistic graph over raw inputs with the contract's names, batch dynamic; missing is 0, what is endless far."""
    weights = np.array([[0.0], [amount_weight], [0.02], [0.0]])
    nodes = [
        build.make_node("IsNaN", ["numeric"], ["missing"]),
        build.make_node("Where", ["missing", "zero", "numeric"], ["known"]),
        build.make_node("Clip", ["known", "lowest", "highest"], ["finite"]),
        build.make_node("MatMul", ["finite", "weights"], ["product"]),
        build.make_node("Add", ["product", "bias"], ["logit"]),
        build.make_node("Sigmoid", ["logit"], ["wide"]),
        build.make_node("Cast", ["wide"], ["single"], to=onnx.TensorProto.FLOAT),
        build.make_node("Squeeze", ["single", "axis"], ["probability"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array(0.0), "zero"),
        onnx.numpy_helper.from_array(np.array(-1e15), "lowest"),
        onnx.numpy_helper.from_array(np.array(1e15), "highest"),
        onnx.numpy_helper.from_array(weights, "weights"),
        onnx.numpy_helper.from_array(np.array([bias]), "bias"),
        onnx.numpy_helper.from_array(np.array([1], np.int64), "axis"),
    ]
    inputs = [build.make_tensor_value_info("numeric", onnx.TensorProto.DOUBLE, ["rows", len(NUMERIC)])]
    outputs = [build.make_tensor_value_info("probability", onnx.TensorProto.FLOAT, ["rows"])]
    body = build.make_graph(nodes, "standin", inputs, outputs, constants)
    model = build.make_model(body, opset_imports=[build.make_opsetid("", 17)], ir_version=9)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, file)
    return file


def stages(
    home: Path,
    *,
    variant_weight: float | None = None,
    amount_weight: float = 1.5e-3,
    run_id: str = RUN_ID,
    days: int = 0,
    rows: int = 6000,
) -> Stages:
    """A candidate whose labels are drawn from its own probabilities. `days` shifts everything into the future.

    `variant_weight`: what an int8 variant, then chosen, has instead of `amount_weight`.
    """
    home.mkdir(parents=True, exist_ok=True)
    exported = home / "export"
    graph(exported / "fp32.onnx", amount_weight)
    table = _features(home / "features", exported / "fp32.onnx", days, rows)
    splits = _splits(home / "splits", table, days)
    write_json(exported / "inputs.json", {"numeric": list(NUMERIC), "categorical": []})
    write_json(exported / "parity.json", {"max_absolute_difference": 1e-7})
    onnx_model = OnnxModel(**_kept(home, exported), run_id=run_id, parity=1e-7)
    return Stages(
        home,
        _validated(home / "validated", rows),
        FeatureTable(**_kept(home, home / "features"), rows=rows, feature_set_hash="f" * 64),
        splits,
        _audit(home / "audit", rows),
        _trained(home / "trained", table, exported / "fp32.onnx", days, run_id, home),
        onnx_model,
        _candidates(home / "candidates", exported / "fp32.onnx", variant_weight, run_id, home),
        _libraries(home / "libraries"),
    )


def packaged(
    made: Stages,
    champion: Champion | None = None,
    gates: Gates = GATES,
    name: str = "tests",
    *,
    keys: Path | None = None,
) -> tuple[Stages, GateReport, Release]:
    """`keys`: of the project that signs; None: the stand-ins' home has its own."""
    report = judged(made, made.home / "gates", champion, gates)
    release = package(
        report, made.validated, made.table, made.splits, made.trained, made.onnx, made.candidates, made.libraries,
        PROVENANCE, DATA_PROFILE, name=name, keys=keys or made.home / "keys", home=made.home,
        out_root=made.home / "releases" / name,
    )  # fmt: skip
    return made, report, release


def judged(
    made: Stages,
    out: Path,
    champion: Champion | None = None,
    gates: Gates = GATES,
    *,
    champion_table: FeatureTable | None = None,
    online: dict[str, Any] | None = None,
) -> GateReport:
    candidate = Candidate(
        made.validated, made.splits, made.audit, made.trained, made.onnx, made.candidates, online or ONLINE
    )
    return judge(candidate, champion, gates, champion_table=champion_table, home=made.home, out=out)


def _kept(home: Path, path: Path) -> dict[str, str]:
    return {"path": os.path.relpath(path, home), "sha256": sha256_path(path)}


def _features(folder: Path, graph_file: Path, days: int, rows: int) -> pa.Table:
    random = np.random.default_rng(3)
    table = canonical_table(rows, seed=3, with_declared=False)
    amount = random.lognormal(7.6, 0.9, rows).astype(np.int64)
    count = random.integers(0, 6, rows)
    age = np.where(random.random(rows) < 0.1, np.nan, random.integers(1, 10**9, rows).astype(float))
    numeric = np.column_stack([np.zeros(rows), amount, count, age]).astype(float)
    fraud = random.random(rows) < Scorer(graph_file).score(numeric)
    times = pa.array(table["event_timestamp"].to_numpy() + np.timedelta64(days, "D"), pa.timestamp("us", "UTC"))
    kept = {
        "event_timestamp": times,
        "amount_minor": pa.array(amount),
        "is_fraud": pa.array(fraud),
        "customer_count_1d": pa.array(count),
        "customer_spending_age_us": pa.array(age, from_pandas=True).cast(pa.int64()),
    }
    ids = {name: table[name] for name in ("transaction_id", "customer_id", "merchant_id")}
    known = {"merchant_label_count_30d": pa.array(random.integers(5, 50, rows))}
    known |= {"merchant_fraud_count_30d": pa.array(random.integers(0, 5, rows))}
    columns = {**ids, **kept, **known}
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "features.parquet")
    view = {"view": "customer_spending", "entity": "customer", "kind": "spending"}
    aggregate = {"name": "customer_count_1d", "statistic": "count", "window_us": 86_400_000_000, **view}
    labels = {"view": "merchant_labels", "entity": "merchant", "kind": "labels", "window_us": 30 * 86_400_000_000}
    known_of = [{"name": name, "statistic": name[9:-4], **labels} for name in known]
    stored = {
        "hash": "f" * 64,
        "aggregates": [aggregate, *known_of],
        "ages": [{"name": "customer_spending_age_us", "keys": ["customer_id"], **view}],
    }
    write_json(folder / "feature_set.json", {**stored, "numeric": [], "categorical": [], "slices": []})
    return pa.table(columns)


def _part(table: pa.Table, part: str, days: int) -> np.ndarray:
    start, end = (np.datetime64((START + timedelta(days=day + days)).replace(tzinfo=None)) for day in _DAYS[part])
    times = table["event_timestamp"].to_numpy()
    return (times >= start) & (times < end)


def _splits(folder: Path, table: pa.Table, days: int) -> Splits:
    rows = {part: int(_part(table, part, days).sum()) for part in _DAYS}
    frauds = {part: int(table["is_fraud"].to_numpy()[_part(table, part, days)].sum()) for part in _DAYS}
    stored = {
        part: {
            "start": (START + timedelta(days=first + days)).isoformat(),
            "end": (START + timedelta(days=last + days)).isoformat(),
            "rows": rows[part],
            "frauds": frauds[part],
        }
        for part, (first, last) in _DAYS.items()
    }
    write_json(folder / "splits.json", stored)
    return Splits(**_kept(folder.parent, folder), table="features/features.parquet", rows=rows, frauds=frauds)


def _validated(folder: Path, rows: int) -> ValidatedData:
    outcomes = {"passed": 24, "warning": 1, "failed": 0, "not_checked": 0}
    write_json(folder / "verdict.json", {"passed": True, "rows": rows, "expectations": 25, "outcomes": outcomes})
    return ValidatedData(
        **_kept(folder.parent, folder), transactions="-", transactions_sha256="0" * 64, expectations=25, rows=rows
    )


def _audit(folder: Path, rows: int) -> FeatureAudit:
    planted = [{"name": "own amount", "caught": True, "rows": 9}]
    oracle = {"rows_checked": 400, "values_checked": 800, "fault": None, "mismatches": []}
    fits = {"rows": rows, "checked": ["bins"], "moved": [], "planted": [{"name": "bins on all rows", "caught": True}]}
    audit = {"rows_checked": 300, "leaks": [], "planted": planted, "oracle": oracle, "fits": fits}
    write_json(folder / "audit.json", audit)
    return FeatureAudit(
        **_kept(folder.parent, folder), rows_checked=300, leaks=0, planted=1, caught=1, oracle_rows=400,
        oracle_mismatches=0,
    )  # fmt: skip


def _trained(folder: Path, table: pa.Table, graph_file: Path, days: int, run_id: str, home: Path) -> TrainedModel:
    random = np.random.default_rng(5)
    parts: list[pa.Table] = []
    for part in ("validation", "calibration", "test"):
        rows = table.filter(pa.array(_part(table, part, days)))
        parts.append(rows.append_column("split", pa.array([part] * rows.num_rows)))
    scored = pa.concat_tables(parts)
    noisy = np.clip(scored["is_fraud"].to_numpy() * 0.05 + random.random(scored.num_rows) * 0.3, 0, 1)
    scored = scored.append_column("logistic", pa.array(noisy, pa.float32()))
    folder.mkdir(parents=True)
    pq.write_table(scored, folder / "scores.parquet")
    write_json(folder / "training.json", {**QUALITY, "reproducibility": REPEATED})
    return TrainedModel(**_kept(home, folder), run_id=run_id, metrics={"validation_pr_auc": 0.7})


def _candidates(folder: Path, fp32: Path, variant_weight: float | None, run_id: str, home: Path) -> Candidates:
    folder.mkdir(parents=True)
    chosen = "fp32" if variant_weight is None else "int8"
    served = folder / f"{chosen}.onnx"
    if variant_weight is None:
        served.write_bytes(fp32.read_bytes())
    else:
        graph(served, variant_weight)
    variants = {"fp32": {"pr_auc": 0.7, "bytes": fp32.stat().st_size, "latency_p99_ms": 0.2}}
    write_json(folder / "measurements.json", {"variants": variants, "chosen": chosen})
    digest = sha256_file(served)
    return Candidates(
        **_kept(home, folder), run_id=run_id, chosen=chosen, reason="It was the fastest.", model_sha256=digest
    )


def _libraries(folder: Path) -> Libraries:
    write_json(folder / "bom.json", {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []})
    unknown = {"checked": False, "sentence": "not checked: no vulnerability database was reached", "found": []}
    write_json(
        folder / "libraries.json",
        {"distributions": 0, "licences": {}, "unknown": [], "copyleft": [], "vulnerabilities": unknown},
    )
    return Libraries(**_kept(folder.parent, folder), checked=False)


def read_json(file: Path) -> dict:
    return json.loads(file.read_text())
