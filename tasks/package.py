"""Stage package: the release folder, with all that serves and all that speaks for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sentinel.artifacts import (
    Candidates,
    FeatureTable,
    GateReport,
    OnnxModel,
    RawData,
    Release,
    Splits,
    TrainedModel,
    ValidatedData,
)  # fmt: skip
from tasks.run import Run, library_versions
from tasks.stage import Work, stage

if TYPE_CHECKING:
    from sentinel.promotion.release import Provenance


@stage(
    code=("sentinel/promotion", "sentinel/model/inputs.py", "sentinel/scoring.py"),
    settings=lambda run: [],
    timeout=timedelta(minutes=30),
)
def package(
    work: Work, raw: RawData, validated: ValidatedData, table: FeatureTable, splits: Splits, trained: TrainedModel,
    onnx: OnnxModel, candidates: Candidates, report: GateReport,
) -> Release:  # fmt: skip
    from sentinel.promotion.release import package as package_release

    run = work.run
    return package_release(
        report, validated, table, splits, trained, onnx, candidates, _provenance(run, raw),
        name=run.config.name, home=run.paths.home, out_root=run.paths.releases(run.config.name), progress=work.progress,
    )  # fmt: skip


def _provenance(run: Run, raw: RawData) -> Provenance:
    from sentinel.promotion.release import Provenance

    return Provenance(
        data_digest=raw.transactions_sha256,
        lock_sha256=run.lock_sha256,
        git_commit=run.code.commit,
        git_is_clean=run.code.is_clean,
        seed=run.config.training.seed,
        libraries=library_versions(),
    )
