"""The files of a release by name, and the champion as others speak of it. Light: it is all that reading needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GRAPH = "model.onnx"
FACTS = "release.json"
GATES = "gates.json"
EVIDENCE = "evidence"
REPORT = "report.html"
CARD = "card.md"
GOLDEN = "golden.json"  # frozen questions, and the answers of the graph
NOT_MEASURED = "not measured"  # in place of a verdict
DATA_PROFILE = "data_profile.json"  # of the training part of the data, its raw columns


@dataclass(frozen=True)
class Champion:
    """The version that serves. `release_path` is relative to the home."""

    version: str
    release_path: str
    model_sha256: str
    feature_set_hash: str


def protect(folder: Path) -> None:
    """Make the files of a release read-only; not its folders, which their owner could then not remove."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
