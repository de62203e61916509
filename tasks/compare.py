"""Stage compare: the data beside what the champion was trained on; a shift is shown, and stops only where asked to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sentinel.artifacts import DriftReport, ValidatedData
from tasks.champion_data import read_reference
from tasks.run import Run
from tasks.shown import show_drift
from tasks.stage import Work, stage

if TYPE_CHECKING:
    from sentinel.promotion.trained_on import TrainedOn


PAGE = "drift.html"


def _data_docs_show_it(run: Run, report: DriftReport) -> bool:
    """A validation that ran again wrote the Data Docs anew."""
    shown, stored = run.paths.data_docs / run.config.name / PAGE, run.paths.absolute(report.path) / PAGE
    return shown.is_file() and shown.read_bytes() == stored.read_bytes()


@stage(
    code=("sentinel/data",),
    settings=lambda run: [run.config.columns, run.config.validation],
    timeout=timedelta(hours=1),
    is_still_there=_data_docs_show_it,
)
def compare(work: Work, validated: ValidatedData, champion_data: TrainedOn | None) -> DriftReport:
    from sentinel.data.comparison import compare_with_champion

    run = work.run
    report = compare_with_champion(
        validated, read_reference(run, champion_data), run.config.columns, run.config.validation,
        name=run.config.name, paths=run.paths, out=work.out, progress=work.progress,
    )  # fmt: skip
    show_drift(report, run.paths.data_docs / run.config.name / PAGE)
    return report
