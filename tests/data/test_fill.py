"""The embedded remote is filled by whoever can make the pinned bytes, and by them alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sentinel.errors import DataDamaged
from tests.data.versioned_project import (
    FILES,
    Project,
    copy_project,
    flip_a_byte,
    start_project,
    state_of,
    write_ingested,
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a fresh clone holds: the pointer, and neither remote, cache nor data."""
    project = start_project(tmp_path_factory.mktemp("clone") / "project")
    project.ingest(seed=1)
    shutil.rmtree(project.paths.home)
    shutil.rmtree(project.paths.data("default"))
    return project.paths.root


@pytest.fixture
def cloned(clone: Path, tmp_path: Path) -> Project:
    return copy_project(clone, tmp_path / "cloned")


def fill(folder: Path) -> None:
    write_ingested(folder, seed=1)


def refuse_to_fill(folder: Path) -> None:
    raise AssertionError("the remote holds the version")


def test_empty_remote_is_filled_once(cloned: Project) -> None:
    assert cloned.pull(fill=fill).rows == 300
    assert cloned.pull(fill=refuse_to_fill).rows == 300
    assert len(list(cloned.paths.embedded_remote.rglob("*.dir"))) == 1
    assert cloned.git("init", "-q") == ""
    cloned.commit("all")
    assert cloned.git("ls-files").split()[-1] == "data.dvc"


def test_other_bytes_than_the_pinned_ones_end_the_run_with_both_digests(cloned: Project) -> None:
    before = state_of(cloned.paths.root)
    pinned = re.search(r"md5: (\w+)\.dir", cloned.paths.pointer("default").read_text())
    assert pinned
    with pytest.raises(DataDamaged) as raised:
        cloned.pull(fill=lambda folder: write_ingested(folder, seed=2))
    assert len(set(re.findall(r"\b[0-9a-f]{32}\b", str(raised.value)))) == 2
    assert pinned[1] in str(raised.value)
    assert state_of(cloned.paths.root) == before
    assert not cloned.paths.data("default").exists()


def test_fill_that_fails_half_way_leaves_nothing(cloned: Project) -> None:
    def fail(folder: Path) -> None:
        (folder / FILES[0]).write_bytes(b"half")
        raise RuntimeError("the simulator fell over")

    before = state_of(cloned.paths.root)
    with pytest.raises(RuntimeError, match="fell over"):
        cloned.pull(fill=fail)
    assert state_of(cloned.paths.root) == before


def test_remote_that_holds_other_data_is_filled_too(cloned: Project) -> None:
    pointer = cloned.paths.pointer("default").read_text()
    cloned.ingest(seed=2)
    cloned.paths.pointer("default").write_text(pointer)
    assert cloned.pull(fill=fill).version in pointer


def test_without_a_filler_an_empty_remote_is_damage(cloned: Project) -> None:
    with pytest.raises(DataDamaged, match=r"in the remote .* it is missing"):
        cloned.pull()
    assert not cloned.paths.data("default").exists()


@pytest.mark.parametrize("name", ["listing", *FILES])
def test_object_missing_from_a_filled_remote_is_damage_and_not_made_anew(cloned: Project, name: str) -> None:
    cloned.pull(fill=fill)
    cloned.object("remote", name).unlink()
    with pytest.raises(DataDamaged, match="in the remote"):
        cloned.pull(fill=refuse_to_fill)


def test_version_without_a_good_copy_is_made_anew_after_the_command_that_the_error_gives(cloned: Project) -> None:
    cloned.pull(fill=fill)
    for path in [cloned.object(place, FILES[0]) for place in ("remote", "cache", "work tree")]:
        flip_a_byte(path, 77)
    with pytest.raises(DataDamaged, match="No good copy is left") as raised:
        cloned.pull(fill=refuse_to_fill)
    command = re.search(r"makes it anew: (rm -rf .*)", str(raised.value))
    assert command
    subprocess.run(command[1], shell=True, check=True)
    assert cloned.pull(fill=fill).rows == 300


def test_emptied_remote_is_filled_while_the_work_tree_stays(cloned: Project) -> None:
    cloned.pull(fill=fill)
    shutil.rmtree(cloned.paths.home)
    data = state_of(cloned.paths.data("default"))
    cloned.pull(fill=fill)
    assert state_of(cloned.paths.data("default")) == data
