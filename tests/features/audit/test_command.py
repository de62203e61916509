"""`sentinel features audit`, and the stage of that name, in a project of its own."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from flows.cli.features import app
from sentinel.config import load_config
from sentinel.errors import ConfigInvalid, DataDamaged, LeakageFound
from sentinel.feature_spec import load_spec
from sentinel.features.audit.record import AUDIT
from sentinel.progress import silent
from sentinel.training.data.splits import split
from tasks.audit import audit
from tasks.run import Code, Run
from tasks.stage import Work
from tests.features.project import HERE, Project
from tests.tables import canonical_table

SPEC = """
[customer.spending]
count = ["7d"]
[customer.labels]
label_count = ["30d"]
fraud_count = ["30d"]
[merchant.spending]
amount_sum = ["7d"]
"""
LEAKING = SPEC.replace('count = ["7d"]', 'count = ["7d", { back = "7d", ahead = "1d" }]', 1)
CONFIG = """
name = "tiny"
[columns]
transaction_id = "transaction_id"
event_timestamp = "event_timestamp"
customer_id = "customer_id"
merchant_id = "merchant_id"
label_available_at = "label_available_at"
amount = "amount_minor"
is_fraud = "is_fraud"
[columns.categorical]
channel = "channel"
[features]
spec = "features.toml"
[splits]
history = "5d"
validation = "15d"
calibration = "15d"
test = "15d"
label_maturity = "3d"
[training]
device = "cpu"
bins = 8
width = 16
[gates]
min_pr_auc = 0.1
"""
TABLE = canonical_table(2500, fraud_rate=0.1).drop(["distance_km", "country"])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    configs = made.paths.root / "configs"
    configs.mkdir(parents=True)
    (configs / "default.toml").write_text(CONFIG)
    (configs / "features.toml").write_text(SPEC)
    (made.paths.root / "leaking.toml").write_text(LEAKING)
    shutil.copy(HERE / "pyproject.toml", made.paths.root)
    shutil.copytree(HERE / "feature_repo", made.paths.feature_repo)
    for name, value in os.environ.items():
        monkeypatch.setenv(name, value)  # so that what the command sets is taken back
    monkeypatch.setenv("SENTINEL_HOME", str(made.paths.home))
    monkeypatch.chdir(made.paths.root)
    return made


def store_data(project: Project) -> None:
    folder = project.paths.data("tiny")
    folder.mkdir(parents=True)
    parquet.write_table(TABLE, folder / "transactions.parquet")


def as_json(*words: str) -> tuple[int, dict[str, Any]]:
    answered = CliRunner().invoke(app, ["audit", "--json", *words])
    assert answered.exception is None or isinstance(answered.exception, SystemExit), answered.exception
    return answered.exit_code, json.loads(answered.stdout)


def test_audit_without_data_says_what_to_run(project: Project) -> None:
    refused = CliRunner().invoke(app, ["audit"])
    assert isinstance(refused.exception, DataDamaged) and refused.exception.exit_code == 4
    assert "Run `sentinel data pull --config configs/default.toml` first." in str(refused.exception)


def test_data_alone_are_enough_to_audit_a_spec(project: Project) -> None:
    store_data(project)
    code, found = as_json()
    assert code == 0 and found["leaks"] == [] and found["faults"] == [] and found["fits"] is None
    assert [leak["caught"] for leak in found["planted"]] == [True] * 5
    assert found["rows_checked"] > 500
    assert found["oracle"]["rows_checked"] > 200 and found["oracle"]["mismatches"] == []

    code, found = as_json("--spec", "leaking.toml")
    assert code == 6
    (leak,) = found["leaks"]
    assert (leak["feature"], leak["window"]) == ("customer_count_7d_ahead_1d", "7d and 1d ahead")
    assert leak["value"] != leak["changed_value"]
    assert any(
        "customer_count_7d_ahead_1d (window 7d and 1d ahead) knew the future" in said for said in found["faults"]
    )

    told = CliRunner().invoke(app, ["audit", "--spec", "leaking.toml"], env={"COLUMNS": "200"})
    assert told.exit_code == LeakageFound.exit_code == 6
    assert "customer_count_7d_ahead_1d" in told.stdout and "leaks     customer_count_7d_ahead_1d" in told.stdout
    assert "knew the future: asked as of" in " ".join(told.stderr.split())


def test_spec_that_is_none_is_refused(project: Project) -> None:
    store_data(project)
    (project.paths.root / "wrong.toml").write_text('[customer.spending]\nmedian = ["7d"]\n')
    refused = CliRunner().invoke(app, ["audit", "--spec", "wrong.toml"])
    assert isinstance(refused.exception, ConfigInvalid) and "median" in str(refused.exception)


def test_built_table_is_held_against_the_oracle_and_training_fits_are_audited(project: Project) -> None:
    store_data(project)
    config = load_config(project.paths.configs / "default.toml")
    project.rules = config.features
    project.build(TABLE, config.columns, out="stages/tiny/features/0123456789abcdef")
    shutil.copy(project.paths.home / "transactions.parquet", project.paths.data("tiny"))
    code, found = as_json()
    assert code == 0
    assert found["oracle"]["fault"] is None and found["oracle"]["strata"]["fraud"] > 0
    assert found["fits"]["moved"] == [] and all(planted["caught"] for planted in found["fits"]["planted"])

    table = project.paths.home / "stages/tiny/features/0123456789abcdef/features.parquet"
    rows = parquet.read_table(table)
    wrong = [value if value is None else value + 1 for value in rows["customer_count_7d"].to_pylist()]
    changed = rows.set_column(rows.column_names.index("customer_count_7d"), "customer_count_7d", [wrong])
    parquet.write_table(changed, table)
    code, found = as_json()
    assert code == 6 and found["leaks"] == []
    assert {mismatch["place"] for mismatch in found["oracle"]["mismatches"]} == {"production"}
    assert "customer_count_7d (window 7d) is not what the rules of time say" in found["faults"][0]


@pytest.mark.parametrize("spec", [SPEC, LEAKING], ids=["honest", "leaking"])
def test_stage_keeps_the_whole_report_or_ends_the_run(project: Project, spec: str) -> None:
    (project.paths.configs / "features.toml").write_text(spec)
    config = load_config(project.paths.configs / "default.toml")
    project.rules = config.features
    assert project.rules.spec == load_spec(project.paths.configs / "features.toml")
    data = project.store_data(TABLE)
    table = project.build(TABLE, config.columns)
    home = project.paths.home
    splits = split(table, config.splits, home=home, out=home / "splits")
    lock = HERE / "requirements" / "cpu.lock"
    run = Run("r", config, project.paths, "sqlite://", lock, "0" * 64, Code("c", is_clean=True))
    work = Work(run, home / "audit", silent)
    if spec is LEAKING:
        with pytest.raises(LeakageFound, match=r"customer_count_7d_ahead_1d .* knew the future"):
            audit.body(work, data, table, splits)
        assert not work.out.exists()
        return
    made = audit.body(work, data, table, splits)
    assert made.holds(home) and made.stage == "audit"
    assert (made.leaks, made.planted, made.caught, made.oracle_mismatches) == (0, 5, 5, 0)
    kept = json.loads((work.out / AUDIT).read_text())
    assert kept["rows_checked"] == made.rows_checked and kept["oracle"]["rows_checked"] == made.oracle_rows
    assert {"seed", "cuts", "seconds", "feature_set_hash"} <= set(kept) and kept["fits"]["moved"] == []
    ends = [end["moment"] for end in kept["cuts"] if end["kind"] == "split boundary"]
    parts = json.loads((home / "splits" / "splits.json").read_text())
    assert len(ends) == len(parts) == 4
    assert timedelta(0) < audit.timeout
