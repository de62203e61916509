"""Whether a release is what it says: every byte against the manifest, every gate against its evidence."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sentinel.artifacts import MANIFEST
from sentinel.config import Gates
from sentinel.promotion.gates import passes, verdicts
from sentinel.promotion.layout import EVIDENCE, FACTS, GATES, GRAPH
from sentinel.storage import canonical_json, sha256_file

_CLOSE = 1e-9  # another processor may add in another order


def sentences_against(folder: Path, digest: str | None = None) -> list[str]:
    """A sentence for each thing that does not hold; none: the release is what it says."""
    try:
        manifest = _manifest(folder, digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"{MANIFEST}: {error}"]
    if wrong := [*_wrong_files(folder, manifest["files"])]:
        return wrong
    try:
        return _wrong_verdicts(folder)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        return [f"{GATES}: cannot be judged anew ({error!r})"]


def _manifest(folder: Path, digest: str | None) -> dict[str, Any]:
    text = (folder / MANIFEST).read_bytes()
    manifest = json.loads(text)
    if canonical_json(manifest).encode() + b"\n" != text:
        raise ValueError("is not as it was written")
    found = sha256_file(folder / MANIFEST)
    named = folder.name if re.fullmatch("[0-9a-f]{16}", folder.name) else ""
    if not found.startswith(named) or (digest is not None and found != digest):
        raise ValueError(f"its digest is {found[:16]}, which is not that of the release ({(digest or named)[:16]})")
    return manifest


def _wrong_files(folder: Path, files: dict[str, dict[str, Any]]) -> list[str]:
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    wrong = [f"{name}: is missing" for name in sorted(files.keys() - present)]
    wrong += [f"{name}: does not belong to the release" for name in sorted(present - files.keys())]
    for name in sorted(files.keys() & present):
        if (folder / name).stat().st_size != files[name]["bytes"]:
            wrong.append(f"{name}: is not {files[name]['bytes']} bytes long")
        elif sha256_file(folder / name) != files[name]["sha256"]:
            wrong.append(f"{name}: its bytes are not those that were released")
    return wrong


def _wrong_verdicts(folder: Path) -> list[str]:
    """Every gate is computed again from the evidence."""
    stored = json.loads((folder / GATES).read_text())
    facts = json.loads((folder / FACTS).read_text())
    anew = verdicts(folder / EVIDENCE, Gates.model_validate(stored["settings"]))
    wrong = [
        f"{GATES}: gate {gate.name} is {gate.outcome} ({gate.value}) by its evidence, and not as recorded"
        for gate, told in zip(anew, stored["gates"], strict=True)
        if (gate.name, gate.outcome, gate.threshold) != (told["name"], told["outcome"], told["threshold"])
        or not _same(gate.value, told["value"])
    ]
    if not passes(anew) == stored["passed"] == facts["passed"]:
        wrong.append(f"{GATES}: the verdict is not the one that its gates give")
    if not sha256_file(folder / GRAPH) == stored["model_sha256"] == facts["model_sha256"]:
        wrong.append(f"{GRAPH}: is not the graph that was judged")
    return wrong


def _same(left: float | None, right: float | None) -> bool:
    return left == right if left is None or right is None else math.isclose(left, right, rel_tol=_CLOSE, abs_tol=_CLOSE)
