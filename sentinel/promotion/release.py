"""The release: one immutable, content-addressed folder with all that serves, and all that speaks for it.

Its digest is that of manifest.json, which holds the digest of every other file; its folder is named by it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from sentinel.artifacts import (
    MANIFEST,
    Candidates,
    FeatureTable,
    GateReport,
    OnnxModel,
    Release,
    Splits,
    TrainedModel,
    ValidatedData,
)  # fmt: skip
from sentinel.errors import RecordInvalid
from sentinel.model.inputs import ModelInputs
from sentinel.progress import Progress, silent
from sentinel.promotion.evidence import TRAINING, serving_graph
from sentinel.promotion.layout import (
    CARD,
    DATA_PROFILE,
    EVIDENCE,
    FACTS,
    GATES,
    GRAPH,
    NOT_MEASURED,
    REPORT,
    protect,
)
from sentinel.promotion.reference import golden_set, reference_statistics
from sentinel.promotion.report import render_card, render_report
from sentinel.promotion.verification import sentences_against
from sentinel.storage import canonical_json, complete_folder, listing, require_free_disk, sha256_file, write_json

_ROOM = 100_000_000  # bytes beyond the graph: evidence, report, statistics


@dataclass(frozen=True)
class Provenance:
    """Where a release comes from. `data_digest` is the data version's, `libraries` their installed versions."""

    data_digest: str
    lock_sha256: str
    git_commit: str
    git_is_clean: bool
    seed: int
    libraries: dict[str, str]


def package(
    report: GateReport,
    validated: ValidatedData,
    table: FeatureTable,
    splits: Splits,
    trained: TrainedModel,
    onnx: OnnxModel,
    candidates: Candidates,
    provenance: Provenance,
    data_profile: Mapping[str, Any],
    *,
    name: str,
    home: Path,
    out_root: Path,
    progress: Progress = silent,
) -> Release:
    """Write the release of a judged candidate to `out_root/<digest>`; the same content is written once.

    `data_profile`: of the raw columns of the training part, which later data are compared with.

    Raises RecordInvalid when report and candidate do not belong together.
    """
    graph = serving_graph(candidates, home=home)
    require_free_disk(out_root, graph.stat().st_size + _ROOM)
    with complete_folder(out_root / "building") as folder:
        progress(0, 3, "copying the graph and its evidence")
        _copy_parts(folder, graph, report, table, splits, onnx, candidates, home=home)
        facts = _facts(folder, report, validated, table, trained, candidates, provenance, name)
        write_json(folder / FACTS, facts)
        progress(1, 3, "reference statistics and golden set")
        inputs = ModelInputs.from_dict(_read(folder / "inputs.json"))
        write_json(folder / "reference.json", reference_statistics(inputs, splits, home=home))
        write_json(folder / DATA_PROFILE, data_profile)
        write_json(folder / "golden.json", golden_set(inputs, splits, folder / GRAPH, home=home))
        write_json(folder / "MLmodel", _mlflow_description(inputs))
        progress(2, 3, "report")
        (folder / CARD).write_text(render_card(folder))
        (folder / REPORT).write_text(render_report(folder, _pictures(trained, candidates, home=home)))
        digest = _write_manifest(folder, name)
    final = _settle(out_root / "building", out_root / digest[:16], digest)
    progress(3, 3, "")
    return Release(
        path=os.path.relpath(final, home),
        sha256=digest,
        run_id=report.run_id,
        passed=report.passed,
        model_sha256=candidates.model_sha256,
    )


def verify_release(folder: Path, digest: str | None = None) -> dict[str, Any]:
    """Check every byte and every verdict of a release; return its facts (release.json).

    `digest`: what the release must be. Raises RecordInvalid that names each file or gate that does not hold.
    """
    if wrong := sentences_against(folder, digest):
        raise RecordInvalid(
            f"The release in {folder} does not hold:\n" + "\n".join(f"  {sentence}" for sentence in wrong) + "\n"
            "It must not serve. Restore it from MLflow's artifacts, or promote another version."
        )
    return _read(folder / FACTS)


def _copy_parts(
    folder: Path,
    graph: Path,
    report: GateReport,
    table: FeatureTable,
    splits: Splits,
    onnx: OnnxModel,
    candidates: Candidates,
    *,
    home: Path,
) -> None:
    shutil.copyfile(graph, folder / GRAPH)
    shutil.copyfile(onnx.locate(home) / "inputs.json", folder / "inputs.json")
    shutil.copyfile(table.locate(home) / "feature_set.json", folder / "feature_set.json")
    shutil.copyfile(splits.locate(home) / "splits.json", folder / "splits.json")
    shutil.copyfile(candidates.locate(home) / "measurements.json", folder / "measurements.json")
    shutil.copytree(report.locate(home), folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    judged = _read(folder / GATES)
    if judged["model_sha256"] != candidates.model_sha256 or sha256_file(folder / GRAPH) != judged["model_sha256"]:
        raise RecordInvalid("The gate report is about another graph than the candidate's. Run again from the gate on.")
    training = _read(folder / EVIDENCE / TRAINING)
    kept = {key: training[key] for key in ("threshold", "threshold_budget") if key in training}
    write_json(folder / "threshold.json", kept)


def _facts(
    folder: Path,
    report: GateReport,
    validated: ValidatedData,
    table: FeatureTable,
    trained: TrainedModel,
    candidates: Candidates,
    provenance: Provenance,
    name: str,
) -> dict[str, Any]:
    judged = _read(folder / GATES)
    training = _read(folder / EVIDENCE / TRAINING)
    return {
        "name": name,
        "run_id": report.run_id,
        "passed": report.passed,
        "failed": list(report.failed),
        "model_sha256": candidates.model_sha256,
        "variant": candidates.chosen,
        "variant_reason": candidates.reason,
        "feature_set_hash": table.feature_set_hash,
        "rows": validated.rows,
        "reproducibility": training.get("reproducibility", {}).get("verdict", NOT_MEASURED),
        "metrics": {**trained.metrics, **judged["metrics"]},
        **asdict(provenance),
    }


def _pictures(trained: TrainedModel, candidates: Candidates, *, home: Path) -> list[Path]:
    drawn = [home / candidates.picture] if candidates.picture else []
    return [*sorted(trained.locate(home).rglob("*.png")), *drawn]


def _mlflow_description(inputs: ModelInputs) -> dict[str, Any]:
    """What MLflow wants to know to show and to load the graph (its MLmodel file; JSON is YAML)."""
    tensors = [("numeric", "float64", [-1, len(inputs.numeric)])]
    if inputs.categorical:
        tensors.append(("categorical", "int64", [-1, len(inputs.categorical)]))
    return {
        "flavors": {
            "onnx": {"data": GRAPH, "providers": ["CPUExecutionProvider"], "onnx_session_options": None},
            "python_function": {"data": GRAPH, "loader_module": "mlflow.onnx"},
        },
        "signature": {
            "inputs": json.dumps([_tensor(*tensor) for tensor in tensors]),
            "outputs": json.dumps([_tensor("probability", "float32", [-1])]),
            "params": None,
        },
    }


def _tensor(name: str, kind: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "type": "tensor", "tensor-spec": {"dtype": kind, "shape": shape}}


def _write_manifest(folder: Path, name: str) -> str:
    """manifest.json, written last; its digest is the release's."""
    files = {
        path: {"sha256": digest, "bytes": (folder / path).stat().st_size} for path, digest in listing(folder).items()
    }
    (folder / MANIFEST).write_text(canonical_json({"name": name, "files": files}) + "\n")
    return sha256_file(folder / MANIFEST)


def _settle(built: Path, final: Path, digest: str) -> Path:
    """Give the built folder its name. One that is there already and holds is kept, one that does not is replaced."""
    if final.exists() and not sentences_against(final, digest):
        shutil.rmtree(built)
        return final
    shutil.rmtree(final, ignore_errors=True)
    protect(built)
    built.replace(final)
    return final


def _read(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(file.read_text()))
