from __future__ import annotations

from pathlib import Path

from sentinel.config import Column, Features
from sentinel.features.catalogue import list_features, newest_table
from sentinel.features.spec import feature_set
from tests.features.project import Project, columns_of
from tests.tables import canonical_table


def test_each_feature_is_described_with_its_null_rate_once_built(tmp_path: Path) -> None:
    project = Project(tmp_path, Features())
    table = canonical_table(300, with_recorded_at=True)
    mapped = columns_of(dict.fromkeys(table.column_names))
    wanted = feature_set(mapped, project.rules)
    assert newest_table(project.paths, "tiny", mapped, project.rules) is None
    assert {entry.null_rate for entry in list_features(wanted, None)} == {None}

    project.build(table, mapped, out="stages/tiny/features/0123456789abcdef")
    newest = newest_table(project.paths, "tiny", mapped, project.rules)
    assert newest is not None and newest[1] == wanted
    built, _ = newest
    entries = {entry.name: entry for entry in list_features(wanted, built)}
    assert list(entries) == list(wanted.columns)
    largest = entries["customer_amount_max_7d"]
    assert largest.source_columns == (
        "customer_id", "event_timestamp", "transaction_id", "recorded_at", "amount_minor",
    )  # fmt: skip
    assert (largest.window, largest.knowable) == ("7d", "1s after recorded_at")
    assert largest.null_rate is not None and 0 < largest.null_rate < 1
    assert entries["merchant_fraud_count_1d"].knowable == "at label_available_at, at the earliest 1s after recorded_at"
    assert entries["merchant_labels_age_us"].window is None

    other = mapped.model_copy(update={"merchant_id": None})
    assert newest_table(project.paths, "tiny", other, project.rules) is None


def test_table_that_lacks_an_optional_column_is_still_found(tmp_path: Path) -> None:
    project = Project(tmp_path, Features())
    table = canonical_table(50)
    mapped = columns_of(dict.fromkeys(table.column_names))
    declared = mapped.model_copy(update={"numeric": {"age_of_card": Column(source="age", optional=True)}})
    project.build(table, declared, out="stages/tiny/features/0123456789abcdef")

    newest = newest_table(project.paths, "tiny", declared, project.rules)

    assert newest is not None and newest[1].hash == feature_set(mapped, project.rules).hash
