"""Stage gate: every check of the candidate, against the champion where there is one."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

from sentinel.artifacts import (
    Candidates,
    FeatureAudit,
    FeatureTable,
    GateReport,
    OnlineFeatures,
    OnnxModel,
    Splits,
    TrainedModel,
    ValidatedData,
)
from tasks.champion_features import champion_features
from tasks.run import Run
from tasks.shown import show_gates
from tasks.stage import Work, stage

if TYPE_CHECKING:
    from sentinel.promotion.layout import Champion


def find_opponent(run: Run, candidates: Candidates) -> Champion | None:
    """The champion to beat; for the champion itself, whom it was judged against then, so that its verdict stands."""
    from sentinel.promotion.registry import Registry

    return Registry(run.tracking_uri, run.config.name, run.paths).opponent_of(candidates.model_sha256)


def features_of_champion(
    run: Run, validated: ValidatedData, table: FeatureTable, champion: Champion | None
) -> FeatureTable | None:
    """The champion's own feature table; None when there is no champion, or it shares the candidate's features."""
    if champion is None or champion.feature_set_hash == table.feature_set_hash:
        return None
    if not run.paths.absolute(champion.release_path).is_dir():
        return None  # the gate says that the release is gone
    return champion_features(run, validated, champion)


@stage(
    code=(
        "sentinel/promotion",
        "sentinel/metrics.py",
        "sentinel/scoring.py",
        "sentinel/slices.py",
        "sentinel/model/inputs.py",
    ),
    settings=lambda run: [run.config.gates],
    timeout=timedelta(hours=1),
)
def gate(
    work: Work, validated: ValidatedData, splits: Splits, audit: FeatureAudit, online: OnlineFeatures,
    trained: TrainedModel, onnx: OnnxModel, candidates: Candidates,
    champion: Champion | None, champion_table: FeatureTable | None,
) -> GateReport:  # fmt: skip
    from sentinel.promotion.collection import Candidate
    from sentinel.promotion.judging import judge
    from tasks.materialize import online_state
    from tasks.tracking import log_files

    run = work.run
    state = asdict(online_state(run, online))
    report = judge(
        Candidate(validated, splits, audit, trained, onnx, candidates, state), champion, run.config.gates,
        champion_table=champion_table, home=run.paths.home, out=work.out, progress=work.progress,
    )  # fmt: skip
    show_gates(json.loads((work.out / "gates.json").read_text())["gates"])
    log_files(run, report.run_id, [work.out / "gates.json"], "gates")
    return report
