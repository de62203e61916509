"""Stage validate: the Great Expectations gate before anything is learnt from the data."""

from __future__ import annotations

from datetime import timedelta

from sentinel.artifacts import RawData, ValidatedData
from tasks.shown import show_failed_expectations
from tasks.stage import Work, stage


@stage(
    code=("sentinel/data", "great_expectations"),
    settings=lambda run: [run.config.columns, run.config.validation, run.config.splits.label_maturity.total_seconds()],
    timeout=timedelta(hours=1),
)
def validate(work: Work, raw: RawData) -> ValidatedData:
    from sentinel.data.validation import validate as validate_data
    from sentinel.data.verdict import DataRejected

    config = work.run.config
    try:
        return validate_data(
            raw, config.columns, config.validation, config.splits.label_maturity,
            name=config.name, paths=work.run.paths, out=work.out, progress=work.progress,
        )  # fmt: skip
    except DataRejected as rejection:
        show_failed_expectations(rejection.failures, str(rejection))
        raise
