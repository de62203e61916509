"""requirements/check.py as `make lock-check` calls it: on a copy of the project's own locks, each with one fault."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HASH = "0" * 64


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "requirements").mkdir()
    for lock in (ROOT / "requirements").glob("*.lock"):
        shutil.copy(lock, tmp_path / "requirements")
    return tmp_path


def check(project: Path) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "requirements" / "check.py"), str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def edit(file: Path, change: Callable[[str], str]) -> None:
    before = file.read_text()
    after = change(before)
    assert after != before
    file.write_text(after)


def test_the_projects_own_locks_pass(project: Path) -> None:
    code, said = check(project)
    assert (code, "in step with pyproject.toml" in said) == (0, True), said


FAULTY_LINES = {
    "an open range": (f"requests>=2 \\\n    --hash=sha256:{HASH}\n", "'requests>=2 \\\\' is not pinned"),
    "no version at all": ("requests\n", "'requests' is not pinned"),
    "a wildcard": (f"requests==2.* \\\n    --hash=sha256:{HASH}\n", "no single version"),
    "no hash": ("left-pad==1.0\n", "left-pad==1.0 has no sha256 hash"),
    "a hash of another kind": ("left-pad==1.0 \\\n    --hash=md5:0123\n", "'--hash=md5:0123' is not pinned"),
    "an index": ("--extra-index-url https://wheels.example.org/simple\n", "names a host or a place"),
    "a direct address": ("left-pad @ file:///home/me/left-pad\n", "names a host or a place"),
    "a repository": ("git+ssh://example.org/left-pad\n", "names a host or a place"),
    "a release candidate": (f"left-pad==1.0rc1 \\\n    --hash=sha256:{HASH}\n", "left-pad==1.0rc1 is a pre-release"),
    "a nightly": (f"left-pad==1.0.dev20261120 \\\n    --hash=sha256:{HASH}\n", "dev20261120 is a pre-release"),
    "a build of one's own": (f"left-pad==1.0+mine \\\n    --hash=sha256:{HASH}\n", "should be the published build"),
    "a package twice": (f"numpy==2.4.6 \\\n    --hash=sha256:{HASH}\n", "numpy is pinned twice"),
    "both runtimes": (f"onnxruntime-gpu==1.31.1 \\\n    --hash=sha256:{HASH}\n", "overwrite each other's files"),
    "a package nobody asks for": (
        f"left-pad==1.0 \\\n    --hash=sha256:{HASH}\n    # via sentinel (pyproject.toml)\n",
        "pyproject.toml no longer asks for left-pad",
    ),
}


@pytest.mark.parametrize("fault", FAULTY_LINES)
def test_a_faulty_line_is_named_with_its_place(project: Path, fault: str) -> None:
    lines, sentence = FAULTY_LINES[fault]
    lock = project / "requirements" / "cpu.lock"
    edit(lock, lambda text: text + lines)
    code, said = check(project)
    first = lock.read_text().count("\n") - lines.count("\n") + 1
    assert code == 1
    assert sentence in said
    assert "requirements/cpu.lock" in said and (f":{first}" in said or "overwrite" in sentence)


def test_a_dependency_added_to_the_project_alone_is_found_missing(project: Path) -> None:
    edit(project / "pyproject.toml", lambda text: text.replace('"psutil",', '"psutil", "left-pad",'))
    code, said = check(project)
    assert code == 1
    for lock in ("cpu.lock", "gpu.lock"):
        assert f"requirements/{lock} lacks left-pad" in said


def test_a_dependency_dropped_from_the_project_alone_is_found(project: Path) -> None:
    edit(project / "pyproject.toml", lambda text: text.replace('  "matplotlib",\n', ""))
    code, said = check(project)
    assert code == 1 and "pyproject.toml no longer asks for matplotlib" in said


def test_a_version_changed_in_the_project_alone_is_found(project: Path) -> None:
    edit(project / "pyproject.toml", lambda text: text.replace('"pandas==2.3.3"', '"pandas==2.3.2"'))
    code, said = check(project)
    assert code == 1 and "pandas==2.3.3, but pyproject.toml asks for pandas==2.3.2" in said


def test_a_cuda_build_in_the_cpu_lock_is_found(project: Path) -> None:
    edit(project / "requirements" / "cpu.lock", lambda text: text.replace("torch==2.13.0+cpu", "torch==2.13.0"))
    code, said = check(project)
    assert code == 1 and "torch==2.13.0 should be the build +cpu" in said


def test_a_scoring_machine_gets_the_versions_that_were_trained_with(project: Path) -> None:
    edit(project / "requirements" / "serve.lock", lambda text: text.replace("numpy==2.4.6", "numpy==2.4.5"))
    code, said = check(project)
    assert code == 1 and "numpy==2.4.5, but cpu.lock has 2.4.6" in said


def test_what_goes_on_top_holds_nothing_that_is_there_already(project: Path) -> None:
    edit(project / "requirements" / "spark.lock", lambda text: f"{text}numpy==2.4.6 \\\n    --hash=sha256:{HASH}\n")
    code, said = check(project)
    assert code == 1 and "numpy stands in cpu.lock already" in said


def test_a_missing_lock_is_found(project: Path) -> None:
    (project / "requirements" / "gpu.lock").unlink()
    code, said = check(project)
    assert code == 1 and "requirements/gpu.lock is missing" in said


def test_a_nightly_of_a_listed_package_is_still_refused(project: Path) -> None:
    listed = "opentelemetry-semantic-conventions==0.66"
    edit(project / "requirements" / "cpu.lock", lambda text: text.replace(f"{listed}b2", f"{listed}.dev1"))
    code, said = check(project)
    assert code == 1 and "0.66.dev1 is a pre-release" in said
