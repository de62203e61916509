"""A copy of the project with a small data set of its own, driven through the real command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

SENTINEL = Path(sys.executable).with_name("sentinel")
NOT_OURS = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_LOCAL_STORAGE_PATH", "MLFLOW_TRACKING_URI", "SENTINEL_HOME")

SPEC = Path(__file__).with_name("features.toml")

# Enough to learn from in seconds; the gates are wide, since the model is small.
SMALL = """
max_calibration_error = 0.2
min_gain_over_logistic = -1.0
max_variant_flips = 0.2
max_variant_pr_auc_loss = 0.5
max_latency_p99_ms = 1000.0
min_recall = 0.0
min_gain_over_constant = -1.0
max_slice_loss = 1.0
max_golden_kl = 100.0
max_fall_with_amount = 1.0
min_frauds_to_compare = 1
not_applicable = ["no_champion", "no_merchant_labels", "no_risky_merchant", "no_large_slice"]
max_loss_to_champion = 1.0

[features]
spec = "features.toml"

[training]
epochs = 2
width = 16
bins = 8
trees = 12

[promotion]
review = "auto"
review_check_seconds = 3600
"""


@dataclass(frozen=True)
class Project:
    """`api_url`: of a Prefect server that is there already; else each run starts its own, which takes seconds."""

    root: Path
    api_url: str | None = None

    @property
    def home(self) -> Path:
        return self.root / ".sentinel"

    @property
    def config(self) -> Path:
        return self.root / "configs" / "small.toml"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        kept |= {"PREFECT_API_URL": self.api_url} if self.api_url else {}
        return {**kept, "PYTHONPATH": str(self.root), "COLUMNS": "160", **more}

    def sentinel(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SENTINEL), *words], cwd=self.root, env=self.environment(**more), capture_output=True, text=True,
            timeout=280, check=False,
        )  # fmt: skip

    def run(self, *words: str, expect: int = 0, **more: str) -> dict[str, Any]:
        done = self.sentinel("run", "--config", "configs/small.toml", "--json", *words, **more)
        assert done.returncode == expect, done.stderr
        return json.loads(done.stdout)

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *who, *words], cwd=self.root, capture_output=True, text=True, check=True
        ).stdout.strip()

    def set(self, key: str, value: str) -> None:
        """Change one key's line in the configuration."""
        text, changes = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", self.config.read_text())
        assert changes == 1, key
        self.config.write_text(text)


def make_project(root: Path, transactions: int) -> Project:
    """A copy with simulated data, ingested and committed."""
    project = copy_project(root)
    default = (root / "configs" / "default.toml").read_text()
    small = re.sub(r"\[data\.simulation\][^\[]*", "", default).replace('name = "default"', 'name = "small"')
    gates = small.index("[gates]")
    project.config.write_text(f"{small[:gates]}[gates]\nmin_pr_auc = 0.02\n{SMALL}")
    shutil.copy2(SPEC, project.config.parent)
    ingest(project, transactions, seed=3)
    return project


def copy_project(root: Path) -> Project:
    """Copy what git tracks or would track, into a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    project = Project(root)
    project.git("init", "--quiet")
    return project


def ingest(project: Project, transactions: int, seed: int) -> None:
    """Make a new version of the small data and commit its pointer."""
    source = project.root / "source.parquet"
    simulate = project.sentinel(
        "data", "simulate", "--transactions", str(transactions), "--seed", str(seed), "--out", str(source)
    )
    assert simulate.returncode == 0, simulate.stderr
    done = project.sentinel("data", "ingest", str(source), "--config", "configs/small.toml", "--json")
    assert done.returncode == 0, done.stderr
    source.unlink()
    project.git("add", ".")
    project.git("commit", "--quiet", "--message", f"data of seed {seed}")


def outcomes(result: dict[str, Any]) -> dict[str, bool]:
    """Stage to whether it was cached."""
    return {stage["name"]: stage["cached"] for stage in result["stages"]}
