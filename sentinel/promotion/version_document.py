"""A version as a document for machines: what it is, what was decided, where it comes from and which files it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentinel.artifacts import MANIFEST, SIGNATURE
from sentinel.promotion.catalogue import Catalogue, StoredVersion
from sentinel.promotion.figures import read_json
from sentinel.promotion.layout import FACTS, GATES, NOT_MEASURED
from sentinel.promotion.quality import read_quality
from sentinel.storage import sha256_file

_GATE_KEYS = ("name", "value", "threshold", "outcome")


def version_document(
    catalogue: Catalogue, stored: StoredVersion, chain: list[dict[str, Any]], folder: Path
) -> dict[str, Any]:
    facts, judged, manifest = (read_json(folder / name) for name in (FACTS, GATES, MANIFEST))
    decisions = [entry["outcome"] for entry in chain if entry["release"] == stored.release]
    files = [{"path": path, **kept} for path, kept in sorted(manifest["files"].items())]
    return {
        "version": stored.version,
        "aliases": sorted(alias for alias, version in catalogue.aliases.items() if version == stored.version),
        "run_id": facts["run_id"],
        "decision": decisions[-1] if decisions else stored.tags.get("decision", "undecided"),
        "gates": [{key: gate[key] for key in _GATE_KEYS} for gate in judged["gates"]],
        "metrics": facts["metrics"],
        "quality": read_quality(folder),
        "reproducibility": facts.get("reproducibility", NOT_MEASURED),
        "data_digest": facts["data_digest"],
        "feature_set_hash": facts["feature_set_hash"],
        "lock_sha256": facts["lock_sha256"],
        "git_commit": facts["git_commit"],
        "release_path": str(folder),
        "files": [*files, *(_unlisted(folder / name) for name in (MANIFEST, SIGNATURE))],
    }


def _unlisted(file: Path) -> dict[str, Any]:
    """What the manifest cannot name: itself, and its signature."""
    return {"path": file.name, "sha256": sha256_file(file), "bytes": file.stat().st_size}
