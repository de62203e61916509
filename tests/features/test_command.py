"""`sentinel features`, run as a command in a project of its own."""

from __future__ import annotations

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from flows.cli.features import app
from sentinel.config import load_config
from sentinel.errors import ConfigInvalid, FeaturesInUse
from sentinel.promotion.mlflow_server import connect
from tests.features.project import HERE, Project
from tests.tables import canonical_table

NEEDED = """
name = "tiny"
[columns]
transaction_id = "transaction_id"
event_timestamp = "event_timestamp"
customer_id = "customer_id"
merchant_id = "merchant_id"
label_available_at = "label_available_at"
amount = "amount_minor"
is_fraud = "is_fraud"
[gates]
min_pr_auc = 0.1
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    (made.paths.root / "configs").mkdir(parents=True)
    (made.paths.root / "configs" / "default.toml").write_text(NEEDED)
    shutil.copy(HERE / "pyproject.toml", made.paths.root)
    for name, value in os.environ.items():
        monkeypatch.setenv(name, value)  # so that what the command sets is taken back
    monkeypatch.setenv("SENTINEL_HOME", str(made.paths.home))
    monkeypatch.chdir(made.paths.root)
    return made


def test_show_and_apply_before_and_after_a_build(project: Project) -> None:
    runner = CliRunner()
    before = json.loads(runner.invoke(app, ["show", "--json"]).stdout)
    assert len(before["features"]) == 57 and before["built"] is None
    refused = runner.invoke(app, ["apply"])
    assert isinstance(refused.exception, ConfigInvalid) and "were not built yet" in str(refused.exception)

    config = load_config(project.paths.configs / "default.toml")
    project.rules = config.features
    project.build(canonical_table(200), config.columns, out="stages/tiny/features/0123456789abcdef")
    shutil.rmtree(project.paths.feast("tiny"))
    shown = json.loads(runner.invoke(app, ["show", "--json"]).stdout)
    assert shown["built"] == "stages/tiny/features/0123456789abcdef"
    assert shown["feature_set_hash"] == before["feature_set_hash"]
    assert all(0 < feature["null_rate"] <= 1 for feature in shown["features"])
    applied = json.loads(runner.invoke(app, ["apply", "--json"]).stdout)
    assert applied["project"] == "tiny" and applied["feature_service"] in applied["objects"]
    assert (project.paths.feast("tiny") / "registry.db").is_file()
    shown_to_a_person = runner.invoke(app, ["show"], env={"COLUMNS": "80"}).stdout
    listed, drawn = shown_to_a_person.split("Lineage")
    for feature in shown["features"]:
        (line,) = [line for line in listed.splitlines() if feature["name"] in line.split()]
        assert len(line) <= 80 and line.rstrip().endswith("%")
    assert "▶ customer_merchant_spending" in drawn and "first_meeting" in drawn
    ends = {(edge["from"], edge["to"]) for edge in shown["lineage"]}
    way = ["amount_minor", "customer_spending", "customer_amount_sum_7d", "customer_spending_z_score_7d"]
    assert ends.issuperset(pairwise(way)) and ("amount_minor", way[-1]) in ends


def serve(project: Project, feature_set_hash: str) -> None:
    """Version 1 of the model in a real registry, champion, trained on these features."""
    project.paths.mlflow_database.parent.mkdir(parents=True)
    client = connect(f"sqlite:///{project.paths.mlflow_database}")
    client.create_registered_model("tiny")
    client.create_model_version("tiny", source=str(project.folder), tags={"feature_set_hash": feature_set_hash})
    client.set_registered_model_alias("tiny", "champion", "1")


def test_apply_refuses_what_would_change_the_champions_features_and_says_so(project: Project) -> None:
    config = load_config(project.paths.configs / "default.toml")
    project.rules = config.features
    table = canonical_table(200)
    made = project.build(table, config.columns, out="stages/tiny/features/0123456789abcdef")
    serve(project, made.feature_set_hash)
    applied = json.loads(CliRunner().invoke(app, ["apply", "--json"]).stdout)
    assert [(used["alias"], used["version"]) for used in applied["in_use"]] == [("champion", "1")]
    assert applied["lost_features"] == []

    position = table.column_names.index("customer_id")
    with_text = table.set_column(position, "customer_id", table.column("customer_id").cast(pa.string()))
    project.build(with_text, config.columns, name="elsewhere", out="stages/tiny/features/fedcba9876543210")
    registry = project.paths.feast("tiny") / "registry.db"
    before = registry.read_bytes()
    refused = CliRunner().invoke(app, ["apply"])
    assert isinstance(refused.exception, FeaturesInUse) and refused.exception.exit_code == 12
    assert "champion (version 1 of tiny)" in str(refused.exception)
    assert "customer_id valueType: INT64 -> STRING" in str(refused.exception)
    assert registry.read_bytes() == before
