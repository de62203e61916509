"""Releases that follow each other, made once: each was judged against the one before it, as versions 1, 2, 3 ..."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sentinel.artifacts import RegisteredVersion, Release
from sentinel.config import Promotion
from sentinel.promotion.catalogue import StoredVersion
from sentinel.promotion.decisions import Verdict
from sentinel.promotion.layout import Champion
from sentinel.promotion.mlflow_server import connect
from sentinel.promotion.registry import Registry
from sentinel.promotion.review.answer import Review
from tests.promotion.standins import GATES, packaged, stages

NOW = datetime(2026, 3, 3, 14, 5, tzinfo=UTC)
PROMOTED = Verdict("promoted", "Every gate passed.")
REJECTED = Verdict("rejected", "Failed: pr_auc_floor.")
WAITING = Verdict("waiting", "Every gate passed; a reviewer decides.")
STRICT = GATES.model_copy(update={"min_pr_auc": 0.999})
FACED = (None, 1, 2, 3, 1)  # by each release, as the number of another
FAILING, RIVAL = 4, 5  # numbers: of the release that failed a gate, of another one judged against the first


def make_releases(root: Path) -> list[tuple[Release, Path]]:
    """Numbers 1 to 3 pass, each judged against the one before; 4 failed a gate; 5 is a rival of 2."""
    made: list[tuple[Release, Path]] = []
    for number, faced in enumerate(FACED, start=1):
        candidate = stages(root / str(number), amount_weight=1.5e-3 + number * 1e-5, rows=2000)
        champion = _faced(made[faced - 1], str(faced), candidate.home) if faced else None
        release = packaged(candidate, champion, STRICT if number == FAILING else GATES, keys=root / "keys")[2]
        made.append((release, candidate.home / release.path))
    return made


def laid_out(registry: Registry, made: tuple[Release, Path]) -> Release:
    """The release below the registry's home, as of a run in its MLflow."""
    release, source = made
    folder = registry.paths.releases(registry.name) / release.sha256[:16]
    shutil.copytree(source, folder, dirs_exist_ok=False)
    shutil.copytree(source.parents[3] / "keys", registry.paths.keys, dirs_exist_ok=True)  # who signed it
    return replace(release, path=registry.paths.relative(folder), run_id=run_of(registry))


def run_of(registry: Registry) -> str:
    client = connect(registry.tracking_uri)
    experiment = client.get_experiment_by_name("tests")
    number = experiment.experiment_id if experiment else client.create_experiment("tests")
    return client.create_run(number).info.run_id


def decide(registry: Registry, version: RegisteredVersion, verdict: Verdict = PROMOTED) -> dict:
    registry.decide(version, verdict, decided_by="run 1", decided_at=NOW)
    return registry.chain()[-1]


def reviewed(registry: Registry, *, lost: list[str] | None = None, **settings: object) -> Review:
    def lost_features(stored: StoredVersion) -> list[str]:
        return lost or []

    return Review(registry, Promotion.model_validate({"review": "manual", **settings}), lost_features)


def _faced(made: tuple[Release, Path], version: str, home: Path) -> Champion:
    release, source = made
    shutil.copytree(source, home / release.path)
    return Champion(version, release.path, release.model_sha256, "f" * 64)
