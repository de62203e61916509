"""`--data-version`: the pointer of a git revision, laid out beside the work tree's data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sentinel.data.pointer import pointer_to
from sentinel.data.versioning import pull
from sentinel.errors import ConfigInvalid, DataDamaged
from tests.data.versioned_project import FILES, Project, copy_project, flip_a_byte, start_project, state_of


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three revisions: one without data, tag `first` with seed 1, and the present one with seed 2."""
    project = start_project(tmp_path_factory.mktemp("template") / "project")
    project.git("init", "-q", "-b", "main")
    project.commit("no data yet")
    project.git("tag", "before")
    for seed, tag in ((1, "first"), (2, "second")):
        project.ingest(seed)
        project.commit(tag)
        project.git("tag", tag)
    return project.paths.root


@pytest.fixture
def history(template: Path, tmp_path: Path) -> Project:
    return copy_project(template, tmp_path / "history")


def test_older_version_is_pulled_while_the_work_tree_stays(history: Project) -> None:
    before = state_of(history.paths.data("default")) | {"pointer": history.paths.pointer("default").read_text()}
    raw = history.pull("first")
    assert raw.locate(history.paths.home) == history.paths.pulled("default", raw.version)
    assert raw.version in history.git("show", "first:data.dvc")
    assert raw.version != history.pull().version
    after = state_of(history.paths.data("default")) | {"pointer": history.paths.pointer("default").read_text()}
    assert after == before
    assert history.git("status", "--porcelain") == ""


def test_older_version_is_checked_again_on_every_pull(history: Project) -> None:
    raw = history.pull("first")
    path = raw.locate(history.paths.home) / FILES[0]
    flip_a_byte(path, 1234)
    with pytest.raises(DataDamaged, match="in the work tree") as raised:
        history.pull("first")
    assert str(path) in str(raised.value)


def test_older_version_comes_back_from_the_remote_alone(history: Project) -> None:
    version = history.pull("first").version
    shutil.rmtree(history.paths.dvc_cache)
    shutil.rmtree(history.paths.home / "pulled")
    assert history.pull("first").version == version


def test_version_that_no_revision_names_is_pulled_by_its_digest(history: Project) -> None:
    """Of a run whose pointer was never committed, or in another repository."""
    raw = history.pull("first")
    size = sum(file.stat().st_size for file in raw.locate(history.paths.home).iterdir())
    shutil.rmtree(history.paths.dvc_cache)
    shutil.rmtree(history.paths.home / "pulled")
    shutil.rmtree(history.paths.root / ".git")
    pinned = pointer_to(raw.version, size, "data")
    assert pull(history.name, history.data, paths=history.paths, pinned=pinned) == raw


def test_present_revision_uses_the_work_tree(history: Project) -> None:
    assert history.pull("second") == history.pull()
    assert history.pull("HEAD") == history.pull()


def test_project_inside_a_larger_git_repository(tmp_path: Path) -> None:
    project = start_project(tmp_path / "larger" / "project")
    project.git("init", "-q", str(tmp_path / "larger"))
    version = project.ingest(seed=1)
    project.commit("data")
    assert project.pull("HEAD").version == version


@pytest.mark.parametrize("revision", ["nowhere", "first:data.dvc", "--all", "", "HEAD~9"])
def test_unknown_revision_is_said(history: Project, revision: str) -> None:
    with pytest.raises(ConfigInvalid, match="Git knows no revision"):
        history.pull(revision)


def test_revision_without_a_pointer_is_said(history: Project) -> None:
    with pytest.raises(ConfigInvalid, match=r"Revision 'before' has no pointer data\.dvc"):
        history.pull("before")


def test_revision_outside_of_git_is_said(history: Project) -> None:
    shutil.rmtree(history.paths.root / ".git")
    with pytest.raises(ConfigInvalid, match="Git knows no revision"):
        history.pull("first")
