"""Stage audit: nothing that a feature or a fit knows came from later, and the features are what the oracle counts."""

from __future__ import annotations

from datetime import datetime, timedelta

from sentinel.artifacts import FeatureAudit, FeatureTable, Splits, ValidatedData
from tasks.stage import Work, stage


@stage(
    code=(
        "sentinel/features",
        "feature_repo",
        "sentinel/training",
        "sentinel/model",
        "sentinel/metrics.py",
        "sentinel/slices.py",
    ),
    settings=lambda run: [run.config.features, run.config.training],
    timeout=timedelta(hours=1),
)
def audit(work: Work, validated: ValidatedData, table: FeatureTable, splits: Splits) -> FeatureAudit:
    from sentinel.features.audit.record import audit_table, record_audit
    from sentinel.training.audit.fits_audit import audit_fits
    from sentinel.training.data.splits import read_splits

    config, paths = work.run.config, work.run.paths
    ends = [datetime.fromisoformat(part["end"]) for part in read_splits(splits.locate(paths.home)).values()]
    report = audit_table(validated, table, ends, config.features, name=config.name, paths=paths, progress=work.progress)
    fits = audit_fits(table, splits, config.training, home=paths.home, seed=report.seed)
    fits.require_in_time()
    return record_audit(report, fits.to_dict(), home=paths.home, out=work.out)
