"""`sentinel data` as a user calls it: a process of its own, in a project of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with a configuration, and nothing else."""
    root = tmp_path / "project"
    (root / "configs").mkdir(parents=True)
    shutil.copy(ROOT / "configs" / "default.toml", root / "configs")
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def sentinel(project: Path, *arguments: object, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from flows.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SENTINEL_HOME": str(home or project / ".sentinel")}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)


def test_simulated_source_is_ingested_and_pinned(project: Path) -> None:
    source = project.parent / "source.parquet"
    made = sentinel(project, "data", "simulate", "--transactions", 2000, "--seed", 7, "--out", source, "--json")
    assert json.loads(made.stdout)["transactions"] == 2000, made.stderr
    found = sentinel(project, "data", "ingest", source, "--json")
    document = json.loads(found.stdout)
    assert (document["rows"], document["quarantined"], document["pointer"]) == (2000, {}, "data.dvc"), found.stderr
    assert document["version"] in (project / "data.dvc").read_text()
    assert pq.read_metadata(project / "data" / "transactions.parquet").num_rows == 2000
    assert not list((project / ".sentinel").glob("ingesting-*"))


def test_ingest_with_out_pins_nothing(project: Path) -> None:
    source, out = project.parent / "source.parquet", project.parent / "out"
    sentinel(project, "data", "simulate", "--transactions", 1000, "--seed", 7, "--out", source)
    found = sentinel(project, "data", "ingest", source, "--out", out)
    assert found.returncode == 0 and "1,000" in found.stdout, found.stderr
    assert sorted(path.name for path in out.iterdir()) == ["quarantine.parquet", "transactions.parquet"]
    assert not (project / "data.dvc").exists()


def test_source_without_a_column_ends_in_one_sentence(project: Path) -> None:
    source = project.parent / "bank.csv"
    source.write_text(
        "transaction_id,event_tme,customer_id,merchant_id,amount,label,label_available_at\n1,2,3,4,5,6,7\n"
    )
    found = sentinel(project, "data", "ingest", source, "--json")
    error = json.loads(found.stdout)["error"]
    assert found.returncode == 3 and error["type"] == "DataContractError"
    assert "configs/default.toml:" in error["message"] and "'event_tme'" in error["message"]
    assert "Traceback" not in found.stderr and not (project / "data").exists()


def test_simulation_without_numbers_needs_them_in_the_configuration(project: Path) -> None:
    config = project / "configs" / "default.toml"
    config.write_text(
        config.read_text()
        .replace("[data.simulation]", "[data]")
        .replace("transactions = 1_750_000", "")
        .replace("seed = 7", "")
    )
    found = sentinel(project, "data", "simulate", "--seed", 7, "--out", project.parent / "source.parquet")
    assert found.returncode == 2 and "[data.simulation]" in found.stderr and "Traceback" not in found.stderr


@pytest.mark.parametrize("home", ["a file", "a file/below"])
def test_home_that_cannot_be_one_is_told(project: Path, home: str) -> None:
    (project / "a file").write_text("x")
    found = sentinel(project, "data", "ingest", "bank.csv", "--json", home=project / home)
    assert (found.returncode, found.stderr.count("Traceback")) == (2, 0), found.stderr
    assert f"{project / home}" in json.loads(found.stdout)["error"]["message"]


def test_folder_is_no_file_to_write(project: Path) -> None:
    (project / "taken").mkdir()
    found = sentinel(project, "data", "simulate", "--transactions", 1000, "--seed", 7, "--out", project / "taken")
    assert (found.returncode, found.stderr.count("Traceback")) == (2, 0), found.stderr
    assert f"{project / 'taken'} cannot be used: is a directory" in found.stderr


@pytest.mark.parametrize("group", [(), ("data",), ("features",), ("models",), ("run",), ("data", "ingest")])
def test_help_has_an_example(project: Path, group: tuple[str, ...]) -> None:
    assert f"Example: sentinel {' '.join(group)}" in sentinel(project, *group, "--help").stdout
