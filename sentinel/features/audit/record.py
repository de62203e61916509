"""The audit of a built table, and audit.json, which the gates read: what was compared, and what was found."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sentinel.artifacts import FeatureAudit, FeatureTable, ValidatedData
from sentinel.config import Features
from sentinel.features.audit.audit import audit_features
from sentinel.features.audit.report import LeakReport
from sentinel.features.spec import FeatureSet
from sentinel.paths import Paths
from sentinel.progress import Progress, silent
from sentinel.storage import complete_folder, sha256_path, write_json

AUDIT = "audit.json"


def audit_table(
    data: ValidatedData,
    table: FeatureTable,
    boundaries: Sequence[datetime],
    features: Features,
    *,
    name: str,
    paths: Paths,
    progress: Progress = silent,
) -> LeakReport:
    """Audit the features of a built table on the data it was built from. Raises LeakageFound, also when blind."""
    folder = table.locate(paths.home)
    wanted = FeatureSet.from_dict(json.loads((folder / "feature_set.json").read_text()))
    report = audit_features(
        paths.absolute(data.transactions), wanted, boundaries, features,
        seed=seed_of(wanted), name=name, paths=paths, table=folder, progress=progress,
    )  # fmt: skip
    report.require_no_leak()
    return report


def record_audit(report: LeakReport, fits: Mapping[str, Any], *, home: Path, out: Path) -> FeatureAudit:
    """Write audit.json. `fits`: the report on what training fits."""
    with complete_folder(out) as folder:
        write_json(folder / AUDIT, {**report.to_dict(), "fits": dict(fits)})
        digest = sha256_path(folder)
    return FeatureAudit(
        path=os.path.relpath(out, home),
        sha256=digest,
        rows_checked=report.rows_checked,
        leaks=len(report.leaks),
        planted=len(report.planted),
        caught=report.caught,
        oracle_rows=report.oracle.rows_checked,
        oracle_mismatches=len(report.oracle.mismatches),
    )


def seed_of(wanted: FeatureSet) -> int:
    """The same features are sampled in the same way again."""
    return int(wanted.hash[:8], 16)
