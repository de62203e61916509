"""Stage promote: move the alias `champion`, or say why not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sentinel.artifacts import Candidates, Decision, GateReport, Libraries, RegisteredVersion, Release
from tasks.run import Run, StageRecord
from tasks.shown import show_version
from tasks.stage import Work, stage


def standing_decision(run: Run, candidates: Candidates) -> Decision | None:
    """The champion's recorded decision, when the candidate is the champion: nothing is packaged or decided again."""
    from sentinel.promotion.registry import Registry

    decision = Registry(run.tracking_uri, run.config.name, run.paths).standing_decision(candidates.model_sha256)
    if decision is not None:
        run.stages.extend(
            StageRecord(stage.stage, 0.0, cached=True) for stage in (Libraries, Release, RegisteredVersion, Decision)
        )
    return decision


def is_recorded(run: Run, decision: Decision) -> bool:
    """Whether it is still the last one about this release: a chain may be lost, a reviewer may have answered since."""
    from sentinel.promotion.decisions import read_chain

    about = [each for each in read_chain(run.paths.decisions(run.config.name)) if each["release"] == decision.sha256]
    return bool(about) and about[-1]["outcome"] == decision.outcome


@stage(
    code=("sentinel/promotion",),
    settings=lambda run: [run.config.promotion, run.tracking_uri],
    timeout=timedelta(minutes=10),
    retries=2,
    is_still_there=is_recorded,
)
def promote(work: Work, report: GateReport, version: RegisteredVersion) -> Decision:
    from sentinel.promotion.decisions import decide_promotion
    from sentinel.promotion.registry import Registry

    run = work.run
    decision = Registry(run.tracking_uri, run.config.name, run.paths, run.registry_database_url).decide(
        version, decide_promotion(report, run.config.promotion.review),
        decided_by=f"run {run.id}", decided_at=datetime.now(UTC),
    )  # fmt: skip
    show_version(run, decision, run.paths.absolute(version.path) / "report.html")
    return decision
