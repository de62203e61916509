"""What two releases are compared by, read from their folders. Light: no library but the standard one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from sentinel.artifacts import MANIFEST
from sentinel.promotion.layout import FACTS, GATES, GRAPH
from sentinel.storage import sha256_file

Figures = dict[str, Any]


def read_figures(folder: Path) -> Figures:
    """The few facts by which a reviewer tells two versions apart; None for what its release does not say."""
    facts, graph = read_json(folder / FACTS), folder / GRAPH
    metrics = facts["metrics"]
    return {
        "pr_auc": metrics.get("pr_auc"),
        "recall": metrics.get("recall", metrics.get("test_recall")),
        "threshold": _threshold(folder),
        "variant": facts["variant"],
        "latency_p99_ms": metrics.get("latency_p99_ms"),
        "model_bytes": graph.stat().st_size if graph.is_file() else None,
        "data_digest": facts["data_digest"],
        "feature_set_hash": facts["feature_set_hash"],
        "git_commit": facts["git_commit"],
        "lock_sha256": facts["lock_sha256"],
    }


def read_gates(folder: Path) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", read_json(folder / GATES)["gates"])


def undecided_gates(folder: Path) -> list[str]:
    """Gates whose data did not suffice to tell: they may serve only when a reviewer says so."""
    return [gate["name"] for gate in read_gates(folder) if gate["outcome"] == "undecided"]


def evidence_digests(folder: Path) -> dict[str, str]:
    """What a decision was made on: the gate report, and the manifest that holds the digest of all the rest."""
    return {"gates_sha256": sha256_file(folder / GATES), "manifest_sha256": sha256_file(folder / MANIFEST)}


def read_json(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(file.read_text()))


def _threshold(folder: Path) -> float | None:
    file = folder / "threshold.json"
    return read_json(file).get("threshold") if file.is_file() else None
