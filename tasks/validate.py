"""Stage validate: the Great Expectations gate before anything is learnt from the data."""

from __future__ import annotations

from datetime import timedelta

from sentinel.artifacts import RawData, ValidatedData
from tasks.champion_data import find_champion_data, read_reference
from tasks.shown import show_failed_expectations
from tasks.stage import Work, stage


@stage(
    code=("sentinel/data", "great_expectations"),
    settings=lambda run: [run.config.columns, run.config.validation, run.config.splits.label_maturity.total_seconds()],
    timeout=timedelta(hours=1),
)
def validate(work: Work, raw: RawData) -> ValidatedData:
    from sentinel.data.drift import Reference
    from sentinel.data.validation import validate as validate_data
    from sentinel.data.verdict import DataRejected

    config = work.run.config
    # no part of the cache key: it only words a refusal, and a refusal is not stored
    reference = read_reference(work.run, find_champion_data(work.run, raw))
    try:
        return validate_data(
            raw, config.columns, config.validation, config.splits.label_maturity,
            name=config.name, paths=work.run.paths, out=work.out,
            reference=reference if isinstance(reference, Reference) else None, progress=work.progress,
        )  # fmt: skip
    except DataRejected as rejection:
        show_failed_expectations(rejection.failures, str(rejection))
        raise
