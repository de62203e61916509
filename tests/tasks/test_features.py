from __future__ import annotations

from pathlib import Path

from sentinel.config import Features, load_config
from sentinel.features.applied import is_applied
from tasks.features import point_feast_at
from tasks.run import Code, Run
from tests.features.project import HERE, Project, columns_of
from tests.tables import canonical_table


def test_run_whose_features_come_from_the_cache_points_feast_back_at_them(tmp_path: Path) -> None:
    project = Project(tmp_path, Features())
    mapped = columns_of(dict.fromkeys(canonical_table(1).column_names))
    cached = project.build(canonical_table(50), mapped, name="default", out="cached")
    newer = project.build(canonical_table(60), mapped, name="default", out="newer")
    lock = HERE / "requirements" / "cpu.lock"
    config = load_config(HERE / "configs" / "default.toml")
    run = Run("r", config, project.paths, "sqlite://", lock, "0" * 64, Code("c", is_clean=True))

    point_feast_at(run, cached)

    assert is_applied(project.paths, "default", cached)
    assert not is_applied(project.paths, "default", newer)
