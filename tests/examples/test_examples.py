"""The main job on tables of every kind, from an example configuration and a small file, without a line of code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.examples import tables
from tests.main_job.project import Project, copy_project

HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Project:
    return replace(copy_project(tmp_path_factory.mktemp("project")), api_url=prefect_api)


def main_job(project: Project, name: str, make: Callable[[Path], Path]) -> dict[str, Any]:
    """Ingest the example's table, keep its version, run."""
    config = f"configs/{name}.toml"
    shutil.copy2(HERE / f"{name}.toml", project.root / config)
    table = make(project.root)
    done = project.sentinel("data", "ingest", table.name, "--config", config, "--json")
    assert done.returncode == 0, done.stderr
    table.unlink()
    project.git("add", ".")
    project.git("commit", "--quiet", "--message", name)
    done = project.sentinel("run", "--config", config, "--json")
    assert done.returncode in (0, 7), done.stderr
    result = json.loads(done.stdout)
    assert result["decision"] in ("promoted", "rejected")
    assert all(gate["outcome"] != "not measured" for gate in result["gates"])
    return result


def transactions(project: Project, name: str) -> pq.ParquetFile:
    return pq.ParquetFile(project.root / "datasets" / name / "transactions.parquet")


def test_one_key_of_text_a_clock_of_seconds_and_labels_known_at_once(project: Project) -> None:
    result = main_job(project, "cards", tables.cards)
    assert result["rows"] == 1000
    assert 0.15 < result["frauds"] / result["rows"] < 0.21
    with transactions(project, "cards") as file:
        assert file.schema_arrow.names == [
            "transaction_id", "event_timestamp", "customer_id", "amount_minor", "is_fraud", "channel"
        ]  # fmt: skip


def test_three_entities_with_every_moment_on_a_clock(project: Project) -> None:
    result = main_job(project, "devices", tables.devices)
    assert result["rows"] == 3030
    with transactions(project, "devices") as file:
        assert "device_id" in file.schema_arrow.names
    assert any("device" in name for name in shown_features(project, "devices"))


def test_european_export_with_one_fraud_in_a_thousand(project: Project) -> None:
    result = main_job(project, "europa", tables.europa)
    assert (result["rows"], result["frauds"]) == (8000, 8)
    with transactions(project, "europa") as file:
        largest = max(file.read(["amount_minor"])["amount_minor"].to_pylist())
        assert largest > 100_000
        assert None in file.read(["country"])["country"].to_pylist()


def shown_features(project: Project, name: str) -> list[str]:
    done = project.sentinel("features", "show", "--config", f"configs/{name}.toml", "--json")
    assert done.returncode == 0, done.stderr
    return [feature["name"] for feature in json.loads(done.stdout)["features"]]
