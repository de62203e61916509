"""feature_repo under Feast's own command."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from feast import FeatureService, FeatureView, FileSource

from sentinel.config import Features, load_config
from sentinel.features.applied import is_applied
from sentinel.features.definitions import service_name, view_name
from sentinel.features.spec import feature_set
from sentinel.features.store import apply_table, open_store
from tests.features.project import HERE, Project, columns_of
from tests.tables import canonical_table


def feast(project: Project, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("feast")), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "SENTINEL_HOME"}
    done = subprocess.run(
        command, cwd=project.paths.feature_repo, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def default_project(tmp_path: Path) -> Project:
    """A checkout whose local state lies where it does by default."""
    project = Project(tmp_path, Features())
    root = project.paths.root
    shutil.copytree(HERE / "configs", root / "configs")
    shutil.copy(HERE / "pyproject.toml", root)
    (root / ".sentinel").mkdir()
    project.paths.home.symlink_to(root / ".sentinel")
    return project


def test_plain_feast_command_and_definitions_agree_on_what_was_built(default_project: Project) -> None:
    config = load_config(default_project.paths.configs / "default.toml")
    table = canonical_table(300, seed=2)
    mapped = config.columns.model_copy(update={"numeric": {}, "categorical": {}})
    default_project.build(table, mapped, name=config.name)
    wanted = feature_set(mapped, config.features)
    listed = feast(default_project, "feature-views", "list")
    assert all(view_name(view, wanted) in listed for view in wanted.views)

    # another version beside it, as after a changed definition
    changed = Features(ingestion_lag=timedelta(seconds=2))
    Project(default_project.folder, changed).build(table, mapped, name=config.name, out="later")
    defined = runpy.run_path(str(default_project.paths.feature_repo / "definitions.py"))
    services = {value.name for value in defined.values() if isinstance(value, FeatureService)}
    assert services == {service_name(wanted), service_name(feature_set(mapped, changed))}
    sources = [value.path for value in defined.values() if isinstance(value, FileSource)]
    assert len(sources) == 10 and all(Path(path).is_dir() for path in sources)


def test_registry_is_pointed_back_at_an_earlier_table(default_project: Project) -> None:
    mapped = columns_of(dict.fromkeys(canonical_table(1).column_names))
    earlier, later = (
        default_project.build(canonical_table(rows), mapped, name="default", out=out)
        for rows, out in ((100, "earlier"), (200, "later"))
    )
    paths = default_project.paths
    assert is_applied(paths, "default", later) and not is_applied(paths, "default", earlier)

    apply_table(paths, "default", earlier.locate(paths.home))

    assert is_applied(paths, "default", earlier) and not is_applied(paths, "default", later)
    sources = open_store(paths, "default").list_data_sources()
    assert {Path(source.path).parents[1].name for source in sources if isinstance(source, FileSource)} == {"earlier"}


def test_definitions_are_empty_before_anything_was_built(default_project: Project) -> None:
    shutil.copytree(HERE / "feature_repo", default_project.paths.feature_repo)
    defined = runpy.run_path(str(default_project.paths.feature_repo / "definitions.py"))
    assert not [value for value in defined.values() if isinstance(value, FeatureView | FeatureService)]
