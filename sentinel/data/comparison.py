"""The data beside what the champion was trained on, at both places where that is asked: before training, and at
ingestion. A fault stops; a shift is shown, and stops only where the configuration says so.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sentinel.artifacts import DriftReport, ValidatedData
from sentinel.config import Columns, Validation
from sentinel.data.docs import show_drift
from sentinel.data.domain import undeclared_sentences
from sentinel.data.drift import Reference
from sentinel.data.drift_page import render_page
from sentinel.data.drift_report import Comparison, compare_data, refuse_shifts, without_reference
from sentinel.data.profile import PROFILE, Profile, make_profile, read_profile
from sentinel.data.table import scratch_beside
from sentinel.errors import ValidationFailed
from sentinel.paths import Paths
from sentinel.progress import Progress, silent
from sentinel.storage import complete_file, complete_folder, sha256_path, write_json

REPORT, PAGE = "drift.json", "drift.html"


@dataclass(frozen=True)
class NoReference:
    """Why there is nothing to compare with, in a sentence."""

    note: str


def read_reference(version: str | None, profile: Path | None) -> Reference | NoReference:
    """`version`: the champion's; `profile`: the file of its training data, which older releases do not have."""
    if version is None:
        return NoReference("No champion was trained before these data came, so there is nothing to compare them with.")
    if profile is None:
        return NoReference(
            f"The release of champion version {version} holds no profile of its training data: it was made before "
            "releases had one. The next version has it."
        )
    return Reference(f"champion version {version}", read_profile(profile))


def compare_with_champion(
    validated: ValidatedData,
    reference: Reference | NoReference,
    columns: Columns,
    settings: Validation,
    *,
    name: str,
    paths: Paths,
    out: Path,
    progress: Progress = silent,
) -> DriftReport:
    """Write drift.json and drift.html below `out`, and show both in the Data Docs.

    Raises ValidationFailed when the data shifted and validation.on_shift is "stop"; the pages are written then too.
    """
    progress(0, 2, "comparing the columns")
    whole = read_profile(validated.locate(paths.home) / PROFILE)
    found = _compare(paths.absolute(validated.transactions), whole, reference, columns, settings, scratch_beside(out))
    progress(1, 2, "drawing the columns")
    with complete_folder(out) as folder:
        write_json(folder / REPORT, found.as_json())
        (folder / PAGE).write_text(render_page(name, found, stops=settings.on_shift == "stop"))
    site = paths.data_docs / name
    show_drift(site, out / PAGE, found.note, found.warnings)
    if settings.on_shift == "stop":
        refuse_shifts(name, found, site / PAGE)
    progress(2, 2)
    return DriftReport(
        path=paths.relative(out),
        sha256=sha256_path(out),
        reference=reference.name if isinstance(reference, Reference) else None,
        note=found.note,
        warnings=found.warnings,
    )


def inspect_ingested(
    transactions: Path, reference: Reference, columns: Columns, settings: Validation, *, name: str, page: Path
) -> Comparison:
    """Compare a table that is about to replace the data of `name`; write the file `page`.

    Raises ValidationFailed for a fault, and for a shift when validation.on_shift is "stop": nothing is replaced then.
    """
    scratch = scratch_beside(transactions)
    if faults := undeclared_sentences(transactions, scratch, settings, reference):
        lines = [f"  {number}. {sentence}." for number, sentence in enumerate(faults, start=1)]
        raise ValidationFailed("\n".join([f"The new data of {name} have a fault; nothing was replaced.", *lines]))
    whole = make_profile(transactions, columns, scratch)
    found = compare_data(transactions, whole, reference, columns, settings, scratch)
    shutil.rmtree(scratch, ignore_errors=True)
    with complete_file(page) as temporary:
        temporary.write_text(render_page(name, found, stops=settings.on_shift == "stop"))
    if settings.on_shift == "stop":
        refuse_shifts(name, found, page)
    return found


def _compare(
    file: Path,
    whole: Profile,
    reference: Reference | NoReference,
    columns: Columns,
    settings: Validation,
    scratch: Path,
) -> Comparison:
    if isinstance(reference, NoReference):
        return without_reference(whole, reference.note)
    try:
        return compare_data(file, whole, reference, columns, settings, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
