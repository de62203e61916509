"""Pinning and pulling with DVC itself: every damaged or missing copy is found, named and mendable."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sentinel.data.versioning import pin
from sentinel.errors import ConfigInvalid, DataContractError, DataDamaged, DiskFull, SentinelError
from sentinel.storage import sha256_file, sha256_path
from tests.data.versioned_project import (
    FILES,
    REPOSITORY,
    Project,
    copy_project,
    flip_a_byte,
    md5_of,
    start_project,
    state_of,
    write_ingested,
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return start_project(tmp_path / "project")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a pinned version, made once and copied for each test."""
    project = start_project(tmp_path_factory.mktemp("template") / "project")
    project.ingest(seed=1)
    return project.paths.root


@pytest.fixture
def pinned(template: Path, tmp_path: Path) -> Project:
    return copy_project(template, tmp_path / "pinned")


def test_pinned_version_is_the_one_dvc_names_and_comes_back_with_its_facts(pinned: Project) -> None:
    raw = pinned.pull()
    table = pq.read_table(pinned.paths.data("default") / FILES[0])
    assert f"md5: {raw.version}.dir" in pinned.paths.pointer("default").read_text()
    assert raw.rows == 300
    assert raw.frauds == sum(1 for value in table["is_fraud"].to_pylist() if value)
    assert raw.transactions_sha256 == sha256_file(pinned.paths.data("default") / FILES[0])
    assert raw.locate(pinned.paths.home) == pinned.paths.home / "../data"
    assert raw.sha256 == sha256_path(pinned.paths.data("default"))
    assert raw.holds(pinned.paths.home)


def test_other_names_have_their_pointer_below_datasets(project: Project) -> None:
    project.name = "handbook"
    project.ingest(seed=1)
    assert (project.paths.root / "datasets" / "handbook.dvc").is_file()
    shutil.rmtree(project.paths.root / "datasets" / "handbook")
    assert project.pull().rows == 300


def test_second_pull_changes_nothing_and_needs_no_dvc(pinned: Project) -> None:
    before = state_of(pinned.paths.root)
    code = (
        "import sys; from pathlib import Path; from sentinel.config import Data; from sentinel.paths import Paths;"
        "from sentinel.data.versioning import pull;"
        f"pull('default', Data(), paths=Paths(Path({str(pinned.paths.root)!r}), Path({str(pinned.paths.home)!r})));"
        "print(sorted({'dvc', 'boto3'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert (answer.stdout, answer.stderr) == ("[]\n", "")
    assert state_of(pinned.paths.root) == before


def test_copies_share_no_bytes_on_disk(pinned: Project) -> None:
    pinned.pull()
    shutil.rmtree(pinned.paths.data("default"))
    shutil.rmtree(pinned.paths.dvc_cache)
    pinned.pull()
    inodes = {pinned.object(place, FILES[0]).stat().st_ino for place in ("remote", "cache", "work tree")}
    assert len(inodes) == 3
    assert not pinned.object("work tree", FILES[0]).is_symlink()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("place", "name"),
    [(place, name) for place in ("remote", "cache") for name in ("listing", *FILES)]
    + [("work tree", name) for name in FILES],
)
def test_flipped_byte_is_found_and_named_with_a_command_that_mends_it(
    pinned: Project, place: str, name: str, seed: int
) -> None:
    path = pinned.object(place, name)
    good = md5_of(path)
    flip_a_byte(path, random.Random(seed).randrange(path.stat().st_size))
    bad = md5_of(path)
    before = state_of(pinned.paths.root)
    with pytest.raises(DataDamaged) as raised:
        pinned.pull()
    said = str(raised.value)
    assert all(word in said for word in (f"in the {place}", str(path), good, bad))
    assert said.count("Damaged data") == 1
    assert state_of(pinned.paths.root) == before
    mend(said)
    assert pinned.pull().rows == 300


@pytest.mark.parametrize(
    ("place", "name"),
    [(place, name) for place in ("remote", "cache") for name in ("listing", *FILES)]
    + [("work tree", name) for name in FILES],
)
def test_missing_object_is_found_and_named_with_a_command_that_mends_it(pinned: Project, place: str, name: str) -> None:
    path = pinned.object(place, name)
    path.unlink()
    if place != "work tree":
        path.parent.rmdir()
    before = state_of(pinned.paths.root)
    with pytest.raises(DataDamaged, match="it is missing") as raised:
        pinned.pull()
    assert str(path) in str(raised.value)
    assert f"in the {place}" in str(raised.value)
    assert state_of(pinned.paths.root) == before
    mend(str(raised.value))
    assert pinned.pull().rows == 300


def mend(message: str) -> None:
    for command in re.findall(r"Mend it with: (.*?)(?: If the change is wanted.*)?$", message, flags=re.MULTILINE):
        subprocess.run(command, shell=True, check=True)


@pytest.mark.parametrize("place", ["remote", "cache"])
def test_damage_is_found_before_anything_is_fetched(pinned: Project, place: str) -> None:
    flip_a_byte(pinned.object(place, FILES[0]), 5)
    shutil.rmtree(pinned.paths.data("default"))
    before = state_of(pinned.paths.root)
    with pytest.raises(DataDamaged, match=f"in the {place}"):
        pinned.pull()
    assert state_of(pinned.paths.root) == before


def test_remote_object_missing_is_damage_although_every_other_copy_is_whole(pinned: Project) -> None:
    shutil.rmtree(pinned.paths.embedded_remote)
    with pytest.raises(DataDamaged, match="in the remote") as raised:
        pinned.pull()
    assert str(raised.value).count("Damaged data") == 3


def test_no_good_copy_left_is_said(pinned: Project) -> None:
    for path in [pinned.object(place, FILES[0]) for place in ("remote", "cache", "work tree")]:
        flip_a_byte(path, 9)
    with pytest.raises(DataDamaged, match="No good copy is left here") as raised:
        pinned.pull()
    assert str(raised.value).count("Damaged data") == 3


def test_ingesting_again_mends_what_has_no_good_copy(pinned: Project) -> None:
    for path in [pinned.object(place, FILES[0]) for place in ("remote", "cache", "work tree")]:
        flip_a_byte(path, 9)
    pinned.ingest(seed=1)
    assert pinned.pull().rows == 300


def test_unknown_file_in_the_work_tree_is_named(pinned: Project) -> None:
    (pinned.paths.data("default") / "more.parquet").write_bytes(b"x")
    with pytest.raises(DataDamaged, match=r"more\.parquet in the work tree is no part"):
        pinned.pull()


@pytest.mark.parametrize("gone", [("work tree",), ("cache",), ("work tree", "cache")])
def test_absent_work_tree_or_cache_is_fetched_again(pinned: Project, gone: tuple[str, ...]) -> None:
    before = state_of(pinned.paths.root)
    if "work tree" in gone:
        shutil.rmtree(pinned.paths.data("default"))
    if "cache" in gone:
        shutil.rmtree(pinned.paths.dvc_cache)
    pinned.pull()
    assert state_of(pinned.paths.root) == before


@pytest.mark.parametrize("name", ["listing", *FILES])
def test_cache_that_an_interrupted_fetch_left_half_full_is_completed(pinned: Project, name: str) -> None:
    before = state_of(pinned.paths.root)
    pinned.object("cache", name).unlink()
    shutil.rmtree(pinned.paths.data("default"))
    pinned.pull()
    assert state_of(pinned.paths.root) == before


def test_quarantine_shared_with_another_version_does_not_look_like_a_damaged_cache(project: Project) -> None:
    first = project.ingest(seed=1)
    pointer = project.paths.pointer("default").read_text()
    project.ingest(seed=2)
    shutil.rmtree(project.paths.dvc_cache)
    project.pull()
    shutil.rmtree(project.paths.data("default"))
    project.paths.pointer("default").write_text(pointer)
    assert project.pull().version == first


def test_work_tree_of_another_version_gives_way_to_the_pinned_one(project: Project) -> None:
    first = project.ingest(seed=1)
    pointer = project.paths.pointer("default").read_text()
    project.ingest(seed=2)
    project.paths.pointer("default").write_text(pointer)
    assert project.pull().version == first
    assert not list(project.paths.root.glob(".*.partial"))


def test_equal_data_have_an_equal_version_in_any_project(pinned: Project, project: Project) -> None:
    assert project.ingest(seed=1) == pinned.pull().version


def test_ingested_folder_is_left_as_it_is(project: Project) -> None:
    project.ingest(seed=1)
    assert sorted(path.name for path in (project.paths.home / "ingested").iterdir()) == sorted(FILES)


def test_folder_without_quarantine_is_not_pinned(pinned: Project, tmp_path: Path) -> None:
    before = state_of(pinned.paths.root)
    write_ingested(tmp_path / "new", seed=2)
    (tmp_path / "new" / FILES[1]).unlink()
    with pytest.raises(DataContractError, match=r"has no quarantine\.parquet"):
        pin(tmp_path / "new", pinned.paths.pointer("default"), pinned.data, paths=pinned.paths)
    assert state_of(pinned.paths.root) == before


def test_failed_push_leaves_pointer_and_data_whole(pinned: Project) -> None:
    shutil.rmtree(pinned.paths.embedded_remote)
    pinned.paths.embedded_remote.write_text("a file in the place of the folder")
    pointer, data = pinned.paths.pointer("default"), pinned.paths.data("default")
    before = state_of(data) | {"pointer": sha256_file(pointer)}
    with pytest.raises(SentinelError):
        pinned.ingest(seed=2)
    assert state_of(data) | {"pointer": sha256_file(pointer)} == before
    assert not list(pinned.paths.root.glob(".*.partial"))


def test_pointer_that_cannot_be_written_brings_the_earlier_data_back(pinned: Project) -> None:
    pointer, data = pinned.paths.pointer("default"), pinned.paths.data("default")
    pointer.unlink()
    (pointer / "in the way").mkdir(parents=True)
    before = state_of(data)
    with pytest.raises(OSError, match=r"data\.dvc"):
        pinned.ingest(seed=2)
    assert state_of(data) == before
    assert sorted(path.name for path in pinned.paths.root.glob(".*partial")) == []


def test_what_a_killed_run_left_is_cleared(pinned: Project) -> None:
    shutil.rmtree(pinned.paths.data("default"))
    left = pinned.paths.root / ".data.partial" / "data"
    left.mkdir(parents=True)
    (left / FILES[0]).write_bytes(b"half")
    pinned.pull()
    assert not left.parent.exists()


def test_too_little_room_is_said_before_anything_is_fetched(pinned: Project) -> None:
    pointer = pinned.paths.pointer("default")
    pointer.write_text(re.sub(r"size: \d+", f"size: {10**17}", pointer.read_text()))
    shutil.rmtree(pinned.paths.data("default"))
    before = state_of(pinned.paths.root)
    with pytest.raises(DiskFull, match="Nothing was written"):
        pinned.pull()
    assert state_of(pinned.paths.root) == before


def test_missing_pointer_says_how_to_write_it(project: Project) -> None:
    with pytest.raises(ConfigInvalid, match="sentinel data ingest"):
        project.pull()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "outs: []",
        "- 1",
        "outs:\n- md5: abc\n",
        ": :",
        "\xba\x00",
        "outs:\n- {md5: " + "0" * 32 + ".dir, size: 1, path: data}",
    ],
)
def test_pointer_of_another_kind_is_refused(pinned: Project, text: str) -> None:
    pinned.paths.pointer("default").write_text(text, encoding="latin-1")
    with pytest.raises(DataContractError, match=r"data\.dvc is no DVC pointer"):
        pinned.pull()


def test_pointer_to_a_folder_elsewhere_is_refused(pinned: Project) -> None:
    pointer = pinned.paths.pointer("default")
    pointer.write_text(pointer.read_text().replace("path: data", "path: ../elsewhere"))
    with pytest.raises(DataContractError, match="path: data"):
        pinned.pull()


def test_nothing_is_printed_and_no_warning_is_raised(
    project: Project, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    project.ingest(seed=1)
    shutil.rmtree(project.paths.data("default"))
    shutil.rmtree(project.paths.dvc_cache)
    project.pull()
    assert tuple(capfd.readouterr()) == ("", "")
    assert [str(warning.message) for warning in recwarn] == []


def test_plain_dvc_and_git_see_a_clean_project(pinned: Project) -> None:
    pinned.git("init", "-q")
    pinned.commit("data")
    tracked = pinned.git("ls-files").split()
    shutil.rmtree(pinned.paths.data("default"))
    pinned.pull()
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--cloud"], cwd=pinned.paths.root, capture_output=True, text=True
    )
    assert "in sync" in status.stdout + status.stderr
    shutil.rmtree(pinned.paths.data("default"))
    subprocess.run([sys.executable, "-m", "dvc", "pull", "-q"], cwd=pinned.paths.root, check=True)
    assert pinned.pull().rows == 300
    assert pinned.git("status", "--porcelain") == ""
    assert tracked == [".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "data.dvc"]
