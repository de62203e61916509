"""Stage promote: move the alias `champion`, or say why not."""

from __future__ import annotations

from datetime import timedelta

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
    from sentinel.promotion.registry import Registry

    run = work.run
    registry = Registry(run.tracking_uri, run.config.name, run.paths)
    decision = registry.promote(version, report, run.config.promotion.review, decided_by=f"run {run.id}")
    report_file = run.paths.home / version.path / "report.html"
    show_version(run, decision.version, decision.outcome, decision.reason, report_file)
    return decision
