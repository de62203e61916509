"""`sentinel data pull` as a user calls it, with a simulator that fills the remote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.versioned_project import REPOSITORY, flip_a_byte


def sentinel(project: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from flows.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SENTINEL_HOME": str(project / ".sentinel")}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone: the pointer that the embedded simulation gives, and no data."""
    root = tmp_path / "project"
    (root / "configs").mkdir(parents=True)
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    text = (REPOSITORY / "configs" / "default.toml").read_text()
    (root / "configs" / "default.toml").write_text(text.replace("1_750_000", "2000"))
    source = tmp_path / "source.parquet"
    sentinel(root, "data", "simulate", "--transactions", 2000, "--seed", 7, "--out", source)
    assert sentinel(root, "data", "ingest", source).returncode == 0
    shutil.rmtree(root / ".sentinel")
    shutil.rmtree(root / "data")
    return root


def test_fresh_clone_gets_the_pinned_data_and_damage_ends_in_a_sentence(clone: Path) -> None:
    first = sentinel(clone, "data", "pull", "--json")
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert document["rows"] == 2000
    assert document["version"] in (clone / "data.dvc").read_text()
    assert first.stderr == ""
    shown = sentinel(clone, "data", "pull")
    assert "2,000 rows" in shown.stdout, shown.stderr
    damaged = Path(document["folder"]) / "transactions.parquet"
    flip_a_byte(damaged, 4321)
    refused = sentinel(clone, "data", "pull")
    assert refused.returncode == 4
    assert str(damaged) in refused.stderr
    assert "Mend it with: cp -f" in refused.stderr
    unknown = sentinel(clone, "data", "pull", "--data-version", "nowhere")
    assert (unknown.returncode, "'nowhere'" in unknown.stderr) == (2, True)
