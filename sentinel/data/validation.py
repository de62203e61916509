"""The data gate: nothing is learnt from a table that breaks its contract."""

# pyarrow has no types
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUnknownLambdaType=false

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentinel.artifacts import RawData, ValidatedData
from sentinel.config import Columns, Validation
from sentinel.data.checkpoint import run_checkpoint
from sentinel.data.docs import link_page, without_network, write_summary
from sentinel.data.suite import contract_suite, optional_columns
from sentinel.data.verdict import DataRejected, FailedExpectation, as_json, faults, judge, rejection
from sentinel.paths import Paths
from sentinel.progress import Progress, silent
from sentinel.storage import complete_folder, sha256_file, sha256_path, write_json

__all__ = ["DataRejected", "FailedExpectation", "read_frame", "validate"]


def validate(
    raw: RawData,
    columns: Columns,
    settings: Validation,
    label_maturity: timedelta,
    *,
    name: str,
    paths: Paths,
    out: Path,
    progress: Progress = silent,
) -> ValidatedData:
    """Hold the table against the suite of `name`; write verdict.json below `out` and pages in paths.data_docs.

    Raises DataRejected (a ValidationFailed) when a critical expectation fails; verdict and pages are written then too.
    """
    transactions = raw.locate(paths.home) / "transactions.parquet"
    progress(0, 4, "reading the table")
    frame = read_frame(transactions)
    absent = optional_columns(columns) - set(frame.columns)
    progress(1, 4, "checking the expectations")
    site = paths.data_docs / name
    suite = contract_suite(name, columns, settings, label_maturity, absent)
    with complete_folder(site) as pages:
        findings = judge(run_checkpoint(suite, frame, pages), frame)
        progress(3, 4, "writing the verdict")
        without_network(pages)
        write_summary(pages, name, findings, len(frame))
    verdict = as_json(findings, len(frame))
    with complete_folder(out) as folder:
        write_json(folder / "verdict.json", verdict)
        (folder / "index.html").write_text(link_page(os.path.relpath(site / "index.html", out)))
    if not verdict["passed"]:
        raise rejection(name, findings, str(site / "index.html"))
    progress(4, 4)
    return ValidatedData(
        path=paths.relative(out),
        sha256=sha256_path(out),
        transactions=paths.relative(transactions),
        transactions_sha256=sha256_file(transactions),
        expectations=len(findings),
        rows=len(frame),
        warnings=tuple(fault.sentence for fault in faults(findings, "warning")),
    )


def read_frame(file: Path) -> pd.DataFrame:
    """The parquet file with plain numpy columns, as GX is fast on these; masked where integers or labels are null."""
    table = pq.read_table(file)
    series = {name: _series(table.column(name)) for name in table.column_names}
    return pd.DataFrame(series, copy=False)


def _series(column: pa.ChunkedArray[Any]) -> pd.Series[Any]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        mapped: Any = pd.ArrowDtype(pa.string())
    elif column.null_count and pa.types.is_integer(kind):
        mapped = pd.Int64Dtype()
    elif column.null_count and pa.types.is_boolean(kind):
        mapped = pd.BooleanDtype()
    else:
        mapped = None
    return cast("pd.Series[Any]", column.to_pandas(types_mapper=lambda _: mapped))
