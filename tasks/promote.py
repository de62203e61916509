"""Stage promote: move the alias `champion`, or say why not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sentinel.artifacts import Decision, GateReport, RegisteredVersion
from tasks.shown import show_version
from tasks.stage import Work, stage


@stage(
    code=("sentinel/promotion",),
    settings=lambda run: [run.config.promotion, run.tracking_uri],
    timeout=timedelta(minutes=10),
    retries=2,
)
def promote(work: Work, report: GateReport, version: RegisteredVersion) -> Decision:
    from sentinel.promotion.decisions import decide_promotion
    from sentinel.promotion.registry import Registry

    run = work.run
    decision = Registry(run.tracking_uri, run.config.name, run.paths).decide(
        version, decide_promotion(report, run.config.promotion.review),
        decided_by=f"run {run.id}", decided_at=datetime.now(UTC),
    )  # fmt: skip
    show_version(run, decision, run.paths.absolute(version.path) / "report.html")
    return decision
