"""A change of the features against the models that use them, on a real Feast registry."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sentinel.config import Features
from sentinel.errors import FeaturesInUse
from sentinel.features.definitions import service_name, service_named
from sentinel.features.guard import changes, fingerprint, service_definition
from sentinel.features.in_use import InUse, lost_features
from sentinel.features.spec import DAY, HOUR, feature_set
from sentinel.features.store import apply, apply_table, key_types, open_store
from tests.features.project import Project, columns_of, row, table_of

NAME = "bank"
ROWS = [row(number, number * HOUR, merchant_id=number % 3) for number in range(40)]
COLUMNS = columns_of(ROWS[0])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def built(project: Project, rows: list[dict[str, Any]], out: str, in_use: list[InUse] | None = None) -> InUse:
    """A table in the registry, and a model that would be trained on it."""
    made = project.build(table_of(rows), COLUMNS, NAME, out, in_use or [])
    return InUse(NAME, "3", "champion", made.feature_set_hash)


def as_text(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**each, "customer_id": f"c{each['customer_id']}", "merchant_id": f"m{each['merchant_id']}"} for each in rows
    ]


def definition(project: Project, feature_set_hash: str) -> dict[str, Any]:
    found = service_definition(open_store(project.paths, NAME), service_named(feature_set_hash))
    assert found is not None
    return found


def test_another_key_type_for_the_champions_features_is_refused_before_anything_is_built(project: Project) -> None:
    champion = built(project, ROWS, "first")
    registry = project.paths.feast(NAME) / "registry.db"
    before = registry.read_bytes()
    challenger = InUse(NAME, "4", "challenger", champion.feature_set_hash)
    with pytest.raises(FeaturesInUse) as refused:
        built(project, as_text(ROWS), "second", [champion, challenger])
    message = str(refused.value)
    assert "champion (version 3 of bank)" in message and "challenger (version 4 of bank)" in message
    assert "customer_id valueType: INT64 -> STRING" in message and "another `name`" in message
    assert registry.read_bytes() == before and not (project.paths.home / "second").exists()


def test_newer_data_of_the_champions_features_are_no_change(project: Project) -> None:
    champion = built(project, ROWS[:20], "first")
    before = fingerprint(definition(project, champion.feature_set_hash))
    assert built(project, ROWS, "second", [champion]) == champion
    assert fingerprint(definition(project, champion.feature_set_hash)) == before
    assert "second" in open_store(project.paths, NAME).list_data_sources()[0].path


def test_version_with_keys_of_another_type_lives_beside_the_champions(project: Project) -> None:
    champion = built(project, ROWS, "first")
    before = definition(project, champion.feature_set_hash)
    other = Project(project.folder, Features(ingestion_lag=2 * HOUR))
    candidate = built(other, as_text(ROWS), "second", [champion])
    assert candidate.feature_set_hash != champion.feature_set_hash
    assert definition(project, champion.feature_set_hash) == before
    store = open_store(project.paths, NAME)
    for used, key, merchant in ((champion, 1, 2), (candidate, "c1", "m2")):
        asked = pa.table(
            {
                "event_timestamp": pa.array([ROWS[-1]["event_timestamp"] + DAY], pa.timestamp("us", "UTC")),
                "customer_id": [key],
                "merchant_id": [merchant],
            }
        )
        service = store.get_feature_service(service_named(used.feature_set_hash))
        found: Any = store.get_historical_features(asked, service)
        assert found.to_arrow().column("customer_count_30d").to_pylist() == [40]


def test_change_of_the_code_is_held_against_what_the_champion_was_registered_with(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = built(project, ROWS, "first")
    monkeypatch.setattr("sentinel.features.definitions.KNOWABLE_AT", "event_timestamp")
    table = project.paths.home / "first"
    with pytest.raises(FeaturesInUse, match=r"timestampField: knowable_at -> event_timestamp"):
        apply_table(project.paths, NAME, table, in_use=[champion])
    apply_table(project.paths, NAME, table)  # nobody uses it: the change is free


@pytest.mark.parametrize("of_the_champion", [True, False])
def test_registry_that_somebody_changed_by_hand_is_mended(project: Project, of_the_champion: bool) -> None:
    champion = built(project, ROWS, "first")
    built(Project(project.folder, Features(ingestion_lag=2 * HOUR)), ROWS[:5], "second", [champion])
    before = definition(project, champion.feature_set_hash)
    store = open_store(project.paths, NAME)
    view = store.get_feature_view(next(iter(before["view"])))
    view.ttl = HOUR
    store.apply([view])
    assert definition(project, champion.feature_set_hash) != before
    applied = "first" if of_the_champion else "second"
    apply_table(project.paths, NAME, project.paths.home / applied, in_use=[champion])
    assert definition(project, champion.feature_set_hash) == before


def test_lost_registry_comes_back_with_the_versions_that_were_in_it(project: Project) -> None:
    champion = built(project, ROWS, "first")
    before = definition(project, champion.feature_set_hash)
    candidate = built(Project(project.folder, Features(ingestion_lag=2 * HOUR)), ROWS, "second", [champion])
    (project.paths.feast(NAME) / "registry.db").unlink()
    apply_table(project.paths, NAME, project.paths.home / "second", in_use=[champion])
    assert definition(project, champion.feature_set_hash) == before
    assert definition(project, candidate.feature_set_hash)["view"]


def test_files_of_a_serving_version_that_are_gone_are_told(project: Project) -> None:
    champion = built(project, ROWS, "first")
    never = InUse(NAME, "2", "previous", "f" * 64)
    (told,) = lost_features(project.paths, NAME, [champion, never])
    assert "previous (version 2 of bank)" in told and "not registered here" in told
    file = project.paths.home / "first" / "views" / "customer_spending" / "000.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    (told,) = lost_features(project.paths, NAME, [champion])
    assert "champion (version 3 of bank)" in told and f"{file} is gone or cut short" in told
    file.write_bytes(whole)
    assert lost_features(project.paths, NAME, [champion]) == []
    shutil.rmtree(project.paths.home / "first")
    (told,) = lost_features(project.paths, NAME, [champion])
    assert "first/views is gone" in told


def test_service_that_is_no_longer_registered_stands_in_nobodys_way(project: Project) -> None:
    champion = InUse(NAME, "1", "champion", "e" * 64)
    wanted = feature_set(COLUMNS, project.rules)
    made = project.build(table_of(ROWS), COLUMNS, NAME, "first")
    folder = made.locate(project.paths.home)
    objects = apply(
        project.paths, NAME, wanted, folder / "views", key_types(wanted, folder / "features.parquet"), in_use=[champion]
    )
    assert service_name(wanted) in [each.name for each in objects]


def test_differences_are_told_by_place() -> None:
    features = [{"name": name, "valueType": "INT64"} for name in ("who", "count")]
    before = {"view": {"a": {"features": features, "ttl": "1s"}}}
    after = {"view": {"a": {"features": [{"name": "count", "valueType": "STRING"}], "ttl": "1s"}, "b": {"ttl": "2s"}}}
    assert changes(before, after) == [
        "view a features who name: who -> absent",
        "view a features who valueType: INT64 -> absent",
        "view a features count valueType: INT64 -> STRING",
        "view b ttl: absent -> 2s",
    ]
    assert changes(before, before) == []
