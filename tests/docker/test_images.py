from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("Dockerfile.*"))
PINNED = r"[a-z/]+:\d[\w.]*-slim-bookworm@sha256:[0-9a-f]{64}"


def instructions(file: Path) -> list[tuple[str, str]]:
    """Each instruction and its arguments, continued lines joined."""
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines()]


def names(file: Path) -> str:
    return file.name


def test_both_images_are_there() -> None:
    assert [file.name for file in DOCKERFILES] == ["Dockerfile.serve", "Dockerfile.train"]


@pytest.mark.parametrize("file", DOCKERFILES, ids=names)
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), file], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", DOCKERFILES, ids=names)
def test_the_base_is_slim_debian_pinned_by_digest(file: Path) -> None:
    found = instructions(file)
    assert re.fullmatch(f"PYTHON_IMAGE={PINNED}", dict(found[:1])["ARG"])
    assert {words.split()[0] for name, words in found if name == "FROM"} == {"${PYTHON_IMAGE}"}
    assert "python:3.11." in found[0][1], "the locks are for Python 3.11"


@pytest.mark.parametrize("file", DOCKERFILES, ids=names)
def test_whatever_is_copied_is_there(file: Path) -> None:
    for name, words in instructions(file):
        if name != "COPY" or "--from=" in words:
            continue
        for source in words.split()[:-1]:
            for kind in ("cpu", "gpu"):
                assert (ROOT / source.replace("${KIND}", kind)).exists(), source


@pytest.mark.parametrize("file", DOCKERFILES, ids=names)
def test_packages_come_from_a_lock_with_their_hashes_and_leave_no_cache(file: Path) -> None:
    runs = [words for name, words in instructions(file) if name == "RUN"]
    installs = re.findall(r"pip (?:install|sync) .*?(?:&&|$)", " && ".join(runs))
    assert installs
    for install in installs:
        assert "--no-cache" in install
        assert "--require-hashes" in install or "--no-deps --no-build-isolation --offline" in install
    assert not re.search(r"index-url|https?://", " ".join(runs))


@pytest.mark.parametrize("file", DOCKERFILES, ids=names)
def test_the_image_runs_as_nobody_special_with_an_init_and_its_threads_set(file: Path) -> None:
    found = instructions(file)
    last = dict(found)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last["USER"])
    assert last["ENTRYPOINT"] == '["tini", "--"]'
    assert "OMP_NUM_THREADS=" in last["ENV"]
    assert "HEALTHCHECK" in last
    assert not re.search(r"PASSWORD|SECRET|TOKEN|_KEY", file.read_text())
    assert [name for name, _ in found].index("USER") > max(i for i, (name, _) in enumerate(found) if name == "RUN")


def test_the_image_of_a_scoring_machine_has_no_training_library() -> None:
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / "serve.lock").read_text(), re.MULTILINE))
    assert {"onnxruntime", "numpy"} <= locked
    assert not locked & {"torch", "prefect", "great-expectations", "mlflow", "feast", "dvc", "duckdb", "pandas"}
    copied = [words for name, words in instructions(DOCKER / "Dockerfile.serve") if name == "COPY"]
    assert "COPY . ." not in copied and "sentinel sentinel" in copied


def test_what_git_tracks_is_in_the_build_context_and_nothing_that_it_ignores() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]

    def is_left_out(path: str) -> bool:
        parts = Path(path).parts
        above = ["/".join(parts[: length + 1]) for length in range(len(parts))]
        deep = [pattern.removeprefix("**/") for pattern in patterns if pattern.startswith("**/")]
        flat = [pattern.rstrip("/") for pattern in patterns if not pattern.startswith("**/")]
        return any(fnmatch(part, name) for part in parts for name in deep) or any(
            fnmatch(folder, name) and folder.count("/") == name.count("/") for folder in above for name in flat
        )

    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if tracked:
        assert [path for path in tracked if is_left_out(path)] == []
    for ignored in (
        ".venv/bin/python",
        ".sentinel/x",
        "docker/.env",
        "data/transactions.parquet",
        "flows/__pycache__/x.pyc",
    ):
        assert is_left_out(ignored), ignored


def test_digests_are_looked_up_again_by_one_command(tmp_path: Path) -> None:
    for file in (*DOCKERFILES, DOCKER / "compose.yaml", DOCKER / "pin_images.sh"):
        shutil.copy(file, tmp_path)
    engine = tmp_path / "bin" / "docker"  # answers as an engine with a network would
    engine.parent.mkdir()
    engine.write_text('#!/bin/sh\n[ "$1 $2 $3" = "buildx imagetools inspect" ] && printf "sha256:%064d\\n" 7\n')
    engine.chmod(0o755)
    done = subprocess.run(
        [tmp_path / "pin_images.sh"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{engine.parent}:/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    texts = "".join((tmp_path / file).read_text() for file in ("Dockerfile.train", "Dockerfile.serve", "compose.yaml"))
    assert texts.count(f"@sha256:{7:064d}") == len(re.findall("@sha256:", texts)) == 5
    assert len(done.stdout.splitlines()) == 3  # python, redis and S3, once each
