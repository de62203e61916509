"""The gate stage: evidence is collected about a candidate, every gate computed from it, and what helps is drawn."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

from sentinel.artifacts import FeatureTable, GateReport
from sentinel.config import Gates
from sentinel.progress import Progress, silent
from sentinel.promotion.collection import Candidate, collect
from sentinel.promotion.evidence import Evidence
from sentinel.promotion.gate_pictures import draw_pictures
from sentinel.promotion.gates import document, named, passes, verdicts
from sentinel.promotion.layout import EVIDENCE, GATES, Champion
from sentinel.storage import complete_folder, sha256_path, write_json


def judge(
    candidate: Candidate,
    champion: Champion | None,
    gates: Gates,
    *,
    champion_table: FeatureTable | None = None,
    home: Path,
    out: Path,
    progress: Progress = silent,
) -> GateReport:
    """Write golden.json, the evidence and gates.json; a failed gate is a verdict, not an error.

    `champion_table`: the champion's own features, when its feature set is another one than the candidate's.
    """
    with complete_folder(out) as folder:
        collect(candidate, champion, champion_table, home=home, out=folder, progress=progress)
        evidence = Evidence(folder / EVIDENCE, gates)
        progress(8, 10, "computing the gates")
        found = verdicts(evidence.folder, gates)
        progress(9, 10, "drawing pictures")
        drawn = draw_pictures(evidence, found)
        found = tuple(replace(gate, picture=drawn.get(gate.name)) for gate in found)
        opponent = asdict(champion) if champion else None
        write_json(folder / GATES, document(found, evidence, candidate.variants, opponent))
        progress(10, 10, "")
    return GateReport(
        path=os.path.relpath(out, home),
        sha256=sha256_path(out),
        run_id=candidate.variants.run_id,
        passed=passes(found),
        failed=named(found, "failed"),
        undecided=named(found, "undecided"),
    )
