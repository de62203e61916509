"""Whether a release is what it says: its files, its signature, its gates by their evidence, its golden answers.

Light enough for a machine that only scores; it needs no server and no network.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from sentinel.artifacts import MANIFEST
from sentinel.config import Gates
from sentinel.errors import RecordInvalid
from sentinel.promotion.gates import Gate, passes, verdicts
from sentinel.promotion.golden_answers import golden_difference, is_close
from sentinel.promotion.keys import read_public
from sentinel.promotion.layout import EVIDENCE, FACTS, GATES, GOLDEN, GRAPH
from sentinel.promotion.manifest import Manifest, read_manifest, shown, wrong_files
from sentinel.promotion.questions import CLOSE
from sentinel.promotion.signature import sentences_against_signature
from sentinel.storage import sha256_file

_CLOSE = 1e-9  # another processor may add in another order


def sentences_against(folder: Path, digest: str | None, publics: list[Path]) -> list[str]:
    """A sentence for each thing that does not hold, the file first; none: the release is what it says.

    `digest`: what the release must be, where that is known. `publics`: the keys one of which must have signed it.
    Raises RecordInvalid for a public key that is none.
    """
    trusted = [read_public(public) for public in publics]
    folder = Path(os.path.realpath(folder))
    try:
        manifest = read_manifest(folder)
        wrong = wrong_files(folder, manifest)
    except RecordInvalid as error:
        return [str(error)]
    except OSError as error:
        return [f"{shown(str(error.filename))}: cannot be read ({error.strerror})"]
    found = _against_identity(folder, manifest, digest)
    found += [f"{shown(path)}: {fault}" for path, fault in wrong.items()]
    unsigned = sentences_against_signature(folder, manifest, trusted)
    found += unsigned
    # what is altered has been told; it is not read any further
    if not [path for path in wrong if path in (GATES, FACTS, GRAPH) or path.startswith(f"{EVIDENCE}/")]:
        found += _told(GATES, "cannot be judged anew", lambda: _wrong_verdicts(folder, manifest))
    if not unsigned and not wrong.keys() & {GRAPH, GOLDEN}:  # no graph is run that a stranger may have made
        found += _told(GOLDEN, "cannot be answered here", lambda: _wrong_answers(folder))
    return found


def _told(file: str, what: str, check: Callable[[], list[str]]) -> list[str]:
    try:
        return check()
    except Exception as error:  # whatever a foreign file makes ONNX Runtime, Arrow or a rule of a gate raise
        return [f"{file}: {what} ({type(error).__name__}: {error!s:.300})"]


def _against_identity(folder: Path, manifest: Manifest, digest: str | None) -> list[str]:
    named = folder.name if re.fullmatch("[0-9a-f]{16}", folder.name) else ""
    if manifest.sha256.startswith(named) and digest in (None, manifest.sha256):
        return []
    wanted = (digest or named)[:16]
    return [f"{MANIFEST}: its digest is {manifest.sha256[:16]}, which is not that of the release ({wanted})"]


def _wrong_verdicts(folder: Path, manifest: Manifest) -> list[str]:
    """Every gate is computed again from the evidence, by the settings that the report carries."""
    stored, facts = _read(folder / GATES), _read(folder / FACTS)
    anew = verdicts(folder / EVIDENCE, Gates.model_validate(stored["settings"]))
    told = {str(gate["name"]): gate for gate in stored["gates"]}
    wrong = [f"{GATES}: gate {gate.name} is not in the report" for gate in anew if gate.name not in told]
    wrong += [f"{GATES}: gate {shown(name)} is unknown here" for name in told if name not in {g.name for g in anew}]
    wrong += [
        f"{GATES}: gate {gate.name} is {gate.outcome} ({gate.value}) by its evidence, and not as recorded"
        for gate in anew
        if gate.name in told and not _is_as_told(gate, told[gate.name])
    ]
    if len(told) != len(stored["gates"]):
        wrong.append(f"{GATES}: names a gate twice")
    if not passes(anew) == stored["passed"] == facts["passed"]:
        wrong.append(f"{GATES}: the verdict is not the one that its gates give")
    if not sha256_file(folder / GRAPH) == stored["model_sha256"] == facts["model_sha256"]:
        wrong.append(f"{GRAPH}: is not the graph that was judged")
    if facts["name"] != manifest.name:
        wrong.append(f"{FACTS}: is about another model than {MANIFEST}")
    return wrong


def _wrong_answers(folder: Path) -> list[str]:
    difference = golden_difference(folder)
    if is_close(difference):
        return []
    return [
        f"{GOLDEN}: the graph answers otherwise here, by {difference:.2g} of probability; at most {CLOSE} is allowed"
    ]


def _is_as_told(gate: Gate, told: dict[str, Any]) -> bool:
    is_same = (gate.outcome, gate.threshold) == (told["outcome"], told["threshold"])
    return is_same and _same(gate.value, told["value"])


def _same(left: float | None, right: float | None) -> bool:
    return left == right if left is None or right is None else math.isclose(left, right, rel_tol=_CLOSE, abs_tol=_CLOSE)


def _read(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(file.read_text(encoding="utf-8")))
