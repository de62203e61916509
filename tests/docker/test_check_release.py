"""docker/check_release.py as the serve image runs it: with the packages of serve.lock, and none beside them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from sentinel.promotion.keys import create_keys
from tests.promotion.standins import GATES, packaged, stages

ROOT = Path(__file__).parents[2]

RUN_WITH_ONLY = """
import runpy, sys
class OnlyLocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
FORBIDDEN = set(sys.argv[1].split(","))
sys.meta_path.insert(0, OnlyLocked())
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def not_locked() -> list[str]:
    """Every importable package here that serve.lock does not bring."""
    lock = (ROOT / "requirements" / "serve.lock").read_text()
    locked = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    here = packages_distributions()
    return [
        package
        for package, owners in here.items()
        if not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} & (locked | {"sentinel"})
    ]


def check(release: Path, public: Path) -> tuple[int, dict[str, object]]:
    script = ["docker/check_release.py", str(release), str(public)]
    command = [sys.executable, "-c", RUN_WITH_ONLY, ",".join(not_locked()), *script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)})
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def public(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the machine knows of the signer."""
    return Path(shutil.copy(release.parents[2] / "keys" / "signing.pub", tmp_path_factory.mktemp("key")))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, report, packed = packaged(stages(tmp_path_factory.mktemp("home")))
    assert report.passed
    return packed.locate(made.home)


def test_torch_and_prefect_are_among_what_is_forbidden() -> None:
    assert {"torch", "prefect", "great_expectations", "mlflow", "pandas"} <= set(not_locked())


def test_a_release_that_holds_may_score(release: Path, public: Path) -> None:
    code, answer = check(release, public)
    assert (code, answer["holds"], answer["golden_difference"]) == (0, True, 0.0)


def test_one_flipped_byte_and_a_signature_of_somebody_else_are_found(
    release: Path, public: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / release.name
    shutil.copytree(release, damaged)
    graph = damaged / "model.onnx"
    graph.chmod(0o644)
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    code, answer = check(damaged, create_keys(tmp_path / "stranger"))
    assert (code, answer["holds"]) == (8, False)
    assert "model.onnx: its bytes are not those that were released" in str(answer["reason"])
    assert "model.sig: is of no trusted key" in str(answer["reason"])


def test_a_release_whose_gates_failed_may_not_score(tmp_path: Path) -> None:
    made, report, packed = packaged(stages(tmp_path), gates=GATES.model_copy(update={"min_pr_auc": 0.999}))
    assert not report.passed
    code, answer = check(packed.locate(made.home), made.home / "keys" / "signing.pub")
    assert (code, answer["holds"]) == (8, False)
    assert "pr_auc_floor" in str(answer["reason"])
