"""Which champion's training data a run's data are compared with: the same one, however often a run is repeated."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel.artifacts import RegisteredVersion
from sentinel.paths import Paths
from sentinel.promotion.decisions import Verdict
from sentinel.promotion.registry import Registry
from sentinel.promotion.trained_on import champion_data
from sentinel.storage import sha256_file
from tests.promotion.releases import run_of
from tests.promotion.standins import DATA_PROFILE, PROVENANCE, packaged, read_json, stages

THESE = PROVENANCE.data_digest
NOW = datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def registry(database: str, tmp_path: Path) -> Registry:
    return Registry(database, f"model-{tmp_path.name}".lower(), Paths(tmp_path, tmp_path / "home"))


def promote_another(registry: Registry, number: int) -> RegisteredVersion:
    """One more champion on the same data, judged against the one that serves."""
    home = registry.paths.home
    made = stages(home / f"candidate{number}", amount_weight=1.5e-3 + number * 1e-5, run_id=run_of(registry), rows=3000)
    served = registry.champion()
    if served:  # standins have a home of their own
        shutil.copytree(home / served.release_path, made.home / served.release_path)
    release = packaged(made, served, name=registry.name, keys=registry.paths.keys)[2]
    folder = registry.paths.releases(registry.name) / release.sha256[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made.home / release.path, folder)
    version = registry.register(release.__class__(**{**release.__dict__, "path": registry.paths.relative(folder)}))
    registry.decide(version, Verdict("promoted", "Every gate passed."), decided_by="gates", decided_at=NOW)
    return version


def test_without_a_champion_there_is_nothing_to_compare_with(registry: Registry) -> None:
    assert champion_data(registry, "other data") is None


def test_later_data_are_compared_with_what_the_champion_was_trained_on(registry: Registry) -> None:
    promote_another(registry, 0)
    found = champion_data(registry, "other data")
    assert found is not None and found.version == "1"
    file = found.file(registry.paths)
    assert file is not None and read_json(file) == DATA_PROFILE
    assert found.sha256 == sha256_file(file)
    assert champion_data(registry) == found


def test_a_champion_is_not_compared_with_its_own_data_nor_are_those_before_it_on_the_same(registry: Registry) -> None:
    promote_another(registry, 0)
    assert champion_data(registry, THESE) is None
    promote_another(registry, 1)
    assert champion_data(registry, THESE) is None
    later = champion_data(registry, "other data")
    assert later is not None and later.version == "2"


def test_a_release_that_is_gone_is_named_without_a_profile(registry: Registry) -> None:
    """As are those that were made before releases had one."""
    first = promote_another(registry, 0)
    promote_another(registry, 1)
    shutil.rmtree(registry.paths.absolute(first.path))
    found = champion_data(registry, THESE)
    assert found is not None and (found.version, found.profile) == ("1", None)
    assert found.file(registry.paths) is None
