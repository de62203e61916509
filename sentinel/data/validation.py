"""The data gate: nothing is learnt from a table that breaks its contract."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path

from sentinel.artifacts import RawData, ValidatedData
from sentinel.config import Columns, Validation
from sentinel.data.checkpoint import run_checkpoint
from sentinel.data.docs import keep_earlier, link_page, without_network, write_summary
from sentinel.data.drift import Reference
from sentinel.data.profile import PROFILE, make_profile
from sentinel.data.suite import contract_suite, optional_columns
from sentinel.data.table import TransactionTable, scratch_beside
from sentinel.data.verdict import DataRejected, FailedExpectation, as_json, faults, judge, rejection
from sentinel.paths import Paths
from sentinel.progress import Progress, silent
from sentinel.storage import complete_folder, sha256_file, sha256_path, write_json

__all__ = ["DataRejected", "FailedExpectation", "validate"]


def validate(
    raw: RawData,
    columns: Columns,
    settings: Validation,
    label_maturity: timedelta,
    *,
    name: str,
    paths: Paths,
    out: Path,
    reference: Reference | None = None,
    progress: Progress = silent,
) -> ValidatedData:
    """Hold the table against the suite of `name`; write verdict.json below `out` and pages in paths.data_docs.

    Data that hold get a profile too. `reference`, what the champion was trained on, only words a refusal: what passes
    does not depend on it. Raises DataRejected (a ValidationFailed) when a critical expectation fails; verdict and
    pages are written then too.
    """
    transactions = raw.locate(paths.home) / "transactions.parquet"
    site, scratch = paths.data_docs / name, scratch_beside(out)
    with TransactionTable(transactions, scratch) as table, complete_folder(site) as pages:
        progress(0, 4, "checking the expectations")
        suite = contract_suite(name, columns, settings, label_maturity, optional_columns(columns) - table.types.keys())
        findings = judge(run_checkpoint(suite, transactions, pages, scratch), table, reference)
        progress(2, 4, "writing the verdict")
        verdict = as_json(findings, table.rows)
        without_network(pages)
        keep_earlier(site, pages, table.rows, passed=verdict["passed"])
        write_summary(pages, name, findings, table.rows)
    progress(3, 4, "describing the columns")
    with complete_folder(out) as folder:
        write_json(folder / "verdict.json", verdict)
        (folder / "index.html").write_text(link_page(os.path.relpath(site / "index.html", out)))
        if verdict["passed"]:
            (folder / PROFILE).write_text(make_profile(transactions, columns, scratch).model_dump_json() + "\n")
    shutil.rmtree(scratch, ignore_errors=True)
    if not verdict["passed"]:
        raise rejection(name, findings, str(site / "index.html"))
    progress(4, 4)
    return ValidatedData(
        path=paths.relative(out),
        sha256=sha256_path(out),
        transactions=paths.relative(transactions),
        transactions_sha256=sha256_file(transactions),
        expectations=len(findings),
        rows=verdict["rows"],
        warnings=tuple(fault.sentence for fault in faults(findings, "warning")),
    )
