"""The release: one immutable, content-addressed folder with all that serves, and all that speaks for it.

Its digest is that of manifest.json, which holds the digest of every other file but the signature; its folder is named
by it.
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
    Candidates,
    FeatureTable,
    GateReport,
    Libraries,
    OnnxModel,
    Release,
    Splits,
    TrainedModel,
    ValidatedData,
)  # fmt: skip
from sentinel.errors import RecordInvalid
from sentinel.model.inputs import ModelInputs
from sentinel.progress import Progress, silent
from sentinel.promotion.collection import serving_graph
from sentinel.promotion.evidence import TRAINING
from sentinel.promotion.keys import public_keys, signing_key
from sentinel.promotion.layout import (
    BILL,
    CARD,
    DATA_PROFILE,
    EVIDENCE,
    FACTS,
    GATES,
    GRAPH,
    LIBRARIES,
    NOT_MEASURED,
    REPORT,
    protect,
)
from sentinel.promotion.manifest import write_manifest
from sentinel.promotion.reference import reference_statistics
from sentinel.promotion.report import render_card, render_report
from sentinel.promotion.signing import sign_release
from sentinel.promotion.verification import sentences_against
from sentinel.storage import complete_folder, remove_leftovers, require_free_disk, sha256_file, write_json

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
    libraries: Libraries,
    provenance: Provenance,
    data_profile: Mapping[str, Any],
    *,
    name: str,
    keys: Path,
    home: Path,
    out_root: Path,
    progress: Progress = silent,
) -> Release:
    """Write the release of a judged candidate to `out_root/<digest>`; the same content is written once.

    `data_profile`: of the raw columns of the training part, which later data are compared with. `keys`: the folder of
    the pair that signs.

    Raises RecordInvalid when report and candidate do not belong together.
    """
    graph = serving_graph(candidates, home=home)
    require_free_disk(out_root, graph.stat().st_size + _ROOM)
    private = signing_key(keys)
    remove_leftovers(out_root / "building")
    with complete_folder(out_root / "building") as scratch:
        folder = scratch / name  # the name that is signed
        folder.mkdir()
        progress(0, 3, "copying the graph and its evidence")
        _copy_parts(folder, graph, report, table, splits, onnx, candidates, home=home)
        for known in (BILL, LIBRARIES):
            shutil.copyfile(libraries.locate(home) / known, folder / known)
        facts = _facts(folder, report, validated, table, trained, candidates, provenance, name)
        write_json(folder / FACTS, facts)
        progress(1, 3, "reference statistics")
        inputs = ModelInputs.from_dict(_read(folder / "inputs.json"))
        write_json(folder / "reference.json", reference_statistics(inputs, splits, home=home))
        write_json(folder / DATA_PROFILE, data_profile)
        write_json(folder / "MLmodel", _mlflow_description(inputs))
        progress(2, 3, "report")
        (folder / CARD).write_text(render_card(folder))
        pictures = _pictures(trained, candidates, home=home)
        (folder / REPORT).write_text(render_report(folder, pictures, _champion(folder, home)))
        digest = write_manifest(folder, name)
        sign_release(folder, private)
    final = _settle(out_root / "building" / name, out_root / digest[:16], digest, public_keys(keys))
    progress(3, 3, "")
    return Release(
        path=os.path.relpath(final, home),
        sha256=digest,
        run_id=report.run_id,
        passed=report.passed,
        model_sha256=candidates.model_sha256,
    )


def verify_release(folder: Path, digest: str | None, publics: list[Path]) -> dict[str, Any]:
    """Check every byte, the signature and every verdict of a release; return its facts (release.json).

    `digest`: what the release must be; None: what its folder's name says. `publics`: the keys that are trusted.
    Raises RecordInvalid that names each file or gate that does not hold.
    """
    if wrong := sentences_against(folder, digest, publics):
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


def _champion(folder: Path, home: Path) -> Path | None:
    """The release that this one was judged against, while it is there."""
    faced = _read(folder / GATES)["champion"]
    release = home / faced["release_path"] if faced else None
    return release if release and (release / FACTS).is_file() else None


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


def _settle(built: Path, final: Path, digest: str, publics: list[Path]) -> Path:
    """Give the built folder its name. One that is there already and holds is kept, one that does not is replaced."""
    if not final.exists() or sentences_against(final, digest, publics):
        shutil.rmtree(final, ignore_errors=True)
        protect(built)
        built.replace(final)
    shutil.rmtree(built.parent)
    return final


def _read(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(file.read_text()))
