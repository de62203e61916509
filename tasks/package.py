"""Stage package: the release folder, with all that serves and all that speaks for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sentinel.artifacts import (
    Candidates,
    FeatureTable,
    GateReport,
    Libraries,
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
    code=(
        "sentinel/promotion",
        "sentinel/model/inputs.py",
        "sentinel/scoring.py",
        "sentinel/data/profile.py",
        "sentinel/data/table.py",
    ),
    settings=lambda run: [run.config.columns],
    timeout=timedelta(minutes=30),
)
def package(
    work: Work, raw: RawData, validated: ValidatedData, table: FeatureTable, splits: Splits, trained: TrainedModel,
    onnx: OnnxModel, candidates: Candidates, report: GateReport, libraries: Libraries,
) -> Release:  # fmt: skip
    from sentinel.promotion.release import package as package_release

    run = work.run
    return package_release(
        report, validated, table, splits, trained, onnx, candidates, libraries, _provenance(run, raw),
        _profile(work, validated, splits),
        name=run.config.name, keys=run.paths.keys, home=run.paths.home,
        out_root=run.paths.releases(run.config.name), progress=work.progress,
    )  # fmt: skip


def _profile(work: Work, validated: ValidatedData, splits: Splits) -> dict[str, Any]:
    """What the columns looked like in the training part: the reference for later data."""
    from sentinel.data.profile import make_profile
    from sentinel.data.table import scratch_beside
    from sentinel.promotion.parts import bounds

    run = work.run
    start, end = bounds(splits.locate(run.paths.home) / "splits.json", "train")
    transactions = run.paths.absolute(validated.transactions)
    profile = make_profile(transactions, run.config.columns, scratch_beside(work.out), start=start, end=end)
    return profile.model_dump(mode="json")


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
