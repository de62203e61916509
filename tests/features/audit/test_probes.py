from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sentinel.config import Column, Columns, Features
from sentinel.features.audit.oracle_check import check_probes
from sentinel.features.audit.probes import Probes, free_tag, make_probes
from sentinel.features.definitions import service_name
from sentinel.features.spec import FeatureSet, feature_set
from sentinel.features.store import open_store
from tests.features.project import LAG, Project, columns
from tests.tables import canonical_table

RULES = Features(ingestion_lag=LAG, label_delay=timedelta(days=3))


def _columns(*optional: str, entities: dict[str, Column] | None = None) -> Columns:
    return columns(**{name: Column(source=name) for name in optional}, entities=entities or {})


def _answers(folder: Path, table: pa.Table, probes: Probes, mapped: Columns, wanted: FeatureSet) -> pa.Table:
    """The probes built among other data, and asked about as anyone asks Feast."""
    project = Project(folder, RULES)
    project.build(pa.concat_tables([table, probes.transactions]), mapped)
    store = open_store(project.paths, "tiny")
    service = store.get_feature_service(service_name(wanted))
    found = store.get_historical_features(entity_df=probes.questions, features=service).to_arrow()  # type: ignore[arg-type]
    asked = found["event_timestamp"].cast(pa.int64())
    for view in wanted.views:
        found = found.append_column(view.age, pc.subtract(asked, found[view.known_at]))
    return found


CASES: dict[str, tuple[dict[str, Any], Columns]] = {
    "everything": (
        {"with_recorded_at": True},
        _columns("merchant_id", "recorded_at", "label_available_at", entities={"device": Column(source="device_id")}),
    ),
    "text keys": ({"string_ids": True, "with_label_time": False}, _columns("merchant_id")),
    "a customer alone": ({"with_merchant": False, "with_label_time": False}, _columns()),
}


@pytest.mark.parametrize("case", CASES)
def test_production_answers_every_probe_as_the_oracle_does(tmp_path: Path, case: str) -> None:
    options, mapped = CASES[case]
    table = canonical_table(300, **options)
    if mapped.entities:
        table = table.append_column("device_id", pa.array([row % 7 for row in range(300)], pa.int64()))
    wanted = feature_set(mapped, RULES)
    probes = make_probes(wanted, table.schema, free_tag(table, wanted))
    found = _answers(tmp_path, table, probes, mapped, wanted)
    assert found.num_rows == probes.questions.num_rows == len(probes.cases)
    assert check_probes(probes, wanted, found) == ()
    assert ("corrections" in probes.cases) == wanted.has_recorded_at
