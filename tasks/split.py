"""Stage split: train, validation, calibration and test by time."""

from __future__ import annotations

from datetime import timedelta

from sentinel.artifacts import FeatureTable, Splits
from tasks.stage import Work, stage


@stage(
    code=("sentinel/training/data/splits.py",),
    settings=lambda run: [run.config.splits],
    timeout=timedelta(minutes=10),
)
def split(work: Work, table: FeatureTable) -> Splits:
    from sentinel.training.data.splits import split as split_table

    return split_table(table, work.run.config.splits, home=work.run.paths.home, out=work.out)
