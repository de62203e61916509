"""Rules of the tree that neither the linter nor the import contracts can say."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CODE = [ROOT / name for name in ("flows", "tasks", "sentinel", "feature_repo", "serving", "benchmarks")]
MODULES = sorted(path for folder in CODE for path in folder.rglob("*.py"))
EXECUTING_FORMATS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
BOUND_TO_ANOTHER = {"botocore", "mypy-boto3-s3", "sentinel"}  # of one piece with boto3 and its stubs, and ourselves
NOT_OURS = {"data", "datasets"}  # what git ignores


def imported(module: Path) -> Iterator[str]:
    """The full dotted names a module imports, wherever it does so."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top(module: Path) -> str:
    return module.relative_to(ROOT).parts[0]


def is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def name_of(module: Path) -> str:
    return ".".join(module.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_no_module_reads_or_writes_a_format_that_can_run_code() -> None:
    unsafe = [(name_of(module), name) for module in MODULES for name in imported(module)]
    assert [pair for pair in unsafe if pair[1].partition(".")[0] in EXECUTING_FORMATS] == []
    calls = re.compile(r"\btorch\.(load|save)\(|allow_pickle=True")
    assert [name_of(module) for module in MODULES if calls.search(module.read_text())] == []


def test_only_flows_and_tasks_import_prefect() -> None:
    others = [module for module in MODULES if top(module) not in ("flows", "tasks", "benchmarks")]
    assert [
        name_of(module) for module in others if any(f"{name}.".startswith("prefect.") for name in imported(module))
    ] == []


def test_no_module_is_named_after_nothing() -> None:
    everything = [*MODULES, *(folder for root in CODE for folder in root.rglob("*") if folder.is_dir())]
    assert [path for path in everything if path.stem in EMPTY_NAMES] == []


def test_the_feature_repository_only_shows_feast_what_the_features_define() -> None:
    modules = [module for module in MODULES if top(module) == "feature_repo"]
    allowed = ("feast.", "sentinel.features.", "sentinel.config.", "sentinel.paths.")
    named = [(module.name, name) for module in modules for name in imported(module)]
    strange = [pair for pair in named if not pair[1].startswith(allowed) and not is_standard(pair[1])]
    assert strange == []
    statements = [line for module in modules for line in ast.walk(ast.parse(module.read_text()))]
    assert not any(isinstance(line, ast.FunctionDef | ast.ClassDef) for line in statements)


def test_the_folder_of_the_expectations_does_not_hide_the_library_of_the_same_name() -> None:
    assert not (ROOT / "great_expectations" / "__init__.py").exists()


def test_the_packages_of_stages_are_empty_so_that_the_command_line_imports_late() -> None:
    packages = [module for module in MODULES if top(module) == "sentinel" and module.name == "__init__.py"]
    bodies = {name_of(package): ast.parse(package.read_text()).body for package in packages}
    assert [name for name, body in bodies.items() if not all(isinstance(line, ast.Expr) for line in body)] == []


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_whatever_is_imported_is_asked_for_in_the_project_file() -> None:
    """A package that only comes along with another one can go away with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    declared = {normal(Requirement(text).name) for text in asked} | BOUND_TO_ANOTHER
    owners = packages_distributions()
    tops = {(name_of(module), name.partition(".")[0]) for module in MODULES for name in imported(module)}
    strange = {
        (module, name, *owners[name])
        for module, name in tops
        if name in owners and not {normal(owner) for owner in owners[name]} & declared
    }
    assert strange == set()


IMPORT_EVERYTHING = """
import importlib, json, logging, os, sys
before = dict(os.environ)
handlers = list(logging.getLogger().handlers)
for name in sys.argv[1:]:
    importlib.import_module(name)
ours = ("SENTINEL_", "PREFECT_", "MLFLOW_", "DVC_", "FEAST_", "GX_", "AWS_")
changed = {name for name in {*before, *os.environ} if before.get(name) != os.environ.get(name)}
tracking = "unset"
if "mlflow" in sys.modules:
    from mlflow.tracking._tracking_service import utils
    tracking = "set" if utils.is_tracking_uri_set() else "unset"
new = [handler for handler in logging.getLogger().handlers if handler not in handlers]
json.dump({"changed": sorted(name for name in changed if name.startswith(ours)), "tracking": tracking,
           "handlers": [str(one) for one in new if not type(one).__module__.startswith("prefect.")]}, sys.stdout)
"""


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    """No file is written, no variable set, no tracking server chosen, no log handler added, by any module."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    names = [name_of(module) for module in MODULES if top(module) in ("sentinel", "tasks", "flows")]
    unset = ("MLFLOW_", "PREFECT_", "SENTINEL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    tree_before = folders_of(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING, *names],
        cwd=work, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"changed": [], "tracking": "unset", "handlers": []}
    assert list(work.iterdir()) == []
    assert folders_of(ROOT) == tree_before


def listed_in_readme() -> set[str]:
    """The folders of the tree under "## Folders": a fenced block, two spaces a level, names ending in a slash."""
    section = re.search(r"^## Folders\n(.*?)(?=^## |\Z)", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert section, "README.md has no section '## Folders'"
    block = re.search(r"^```[a-z]*\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    assert block, "the section '## Folders' of README.md has no fenced block"
    found: set[str] = set()
    parents: list[str] = []
    for line in block[1].splitlines():
        if match := re.match(r"( *)([\w.-]+)/(\s|$)", line):
            parents = [*parents[: len(match[1]) // 2], match[2]]
            found.add("/".join(parents))
    return found


def folders_of(parent: Path) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in parent.iterdir()
        if path.is_dir()
        and path.name[0] not in "._"
        and not path.name.endswith(".egg-info")
        and path.name not in NOT_OURS
    }


def test_the_tree_in_the_readme_is_the_tree() -> None:
    listed = listed_in_readme()
    there = folders_of(ROOT) | folders_of(ROOT / "sentinel")
    assert there <= listed, f"README.md does not list {sorted(there - listed)}"
    assert [name for name in listed if not (ROOT / name).is_dir()] == [], "README.md lists folders that are not there"


def test_the_checks_before_a_commit_need_no_network() -> None:
    configuration = ROOT / ".pre-commit-config.yaml"
    assert set(re.findall(r"repo: *(\S+)", configuration.read_text())) == {"local"}
    validate = [Path(sys.executable).with_name("pre-commit"), "validate-config", configuration]
    done = subprocess.run(validate, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
