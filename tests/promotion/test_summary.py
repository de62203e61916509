"""What a reviewer reads in MLflow: what changed, what did not pass, where the rest is; never more than fits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sentinel.artifacts import Release
from sentinel.promotion.registry import Registry
from sentinel.promotion.summary import MOST, Home, cut, summary, with_state
from tests.promotion.releases import FAILING, decide, laid_out

Made = list[tuple[Release, Path]]


def test_changes_against_the_champion_old_and_new(releases: Made) -> None:
    text = summary(releases[1][1], champion=("1", releases[0][1]))
    lines = text.splitlines()
    assert lines[0].startswith("**Every gate passed.** ") and lines[0].endswith(" of 24 gates passed.")
    assert "| | champion, version 1 → this version |" in lines
    changed = {line.split("|")[1].strip(): line.split("|")[2] for line in lines if " → " in line and line[0] == "|"}
    assert "pr_auc" in changed and changed["pr_auc"].count("→") == 1
    (same,) = (line for line in lines if line.startswith("The same: "))
    assert "threshold" in same and "data version" in same and "feature set" in same


def test_failed_gates_come_first_and_links_lead_to_the_pages_of_the_server(releases: Made) -> None:
    folder = releases[FAILING - 1][1]
    on_server = summary(folder, Home("http://mlflow.example/", "7", "m-1", folder), data_docs=Path("docs/index.html"))
    assert on_server.startswith("**Failed: pr\\_auc\\_floor.**")
    model = "http://mlflow.example/#/experiments/7/models/m-1/artifacts"
    assert f"[evidence and all files]({model})" in on_server
    files = "http://mlflow.example/ajax-api/2.0/mlflow/logged-models/m-1/artifacts/files?artifact_file_path="
    assert f"[full report]({files}report.html)" in on_server and f"[card]({files}card.md)" in on_server
    assert "data docs: `docs/index.html`" in on_server
    assert f"Full report: `{folder / 'report.html'}`" in summary(folder)


def test_undecided_gates_are_named_before_the_count(releases: Made, tmp_path: Path) -> None:
    folder = shutil.copytree(releases[0][1], tmp_path / "release", copy_function=shutil.copyfile)
    judged = json.loads((folder / "gates.json").read_text())
    (compared,) = (gate for gate in judged["gates"] if gate["name"] == "better_than_champion")
    compared["outcome"] = "undecided"
    (folder / "gates.json").write_text(json.dumps(judged))
    text = summary(folder)
    assert text.startswith("**Undecided: better\\_than\\_champion.**")
    assert "| better\\_than\\_champion | undecided |" in text


@pytest.mark.parametrize("rows", [10, 200])
def test_description_is_cut_at_the_end_of_a_line(rows: int) -> None:
    table = "\n".join(["# head", "| a | b |", "|---|---|", *(f"| row {row} | {'x' * 40} |" for row in range(rows))])
    text = cut(table)
    assert len(text) <= MOST
    assert all(line.endswith("|") for line in text.splitlines() if line.startswith("|"))
    assert text.endswith("the full report has it.") == (rows == 200)


def test_state_is_the_first_paragraph_and_is_replaced_alone() -> None:
    waiting = with_state("body\n\nmore", "waiting** since today")
    assert waiting == "**Decision: waiting** since today\n\nbody\n\nmore"
    assert with_state(waiting, "expired**") == "**Decision: expired**\n\nbody\n\nmore"
    assert len(with_state("long\n" * 3000, "x" * 600)) <= MOST


def test_links_of_the_description_are_answered_by_the_server(server: str, releases: Made, tmp_path: Path) -> None:
    import re
    import urllib.request

    from sentinel.paths import Paths

    registry = Registry(server, f"model-{tmp_path.name}".lower(), Paths(tmp_path, tmp_path / "home"))
    version = registry.register(laid_out(registry, releases[0]))
    decide(registry, version)
    text = registry.catalogue().find("1").description
    address = re.search(r"\[full report\]\(([^)]+)\)", text)
    assert address
    with urllib.request.urlopen(address[1]) as answer:
        assert answer.read() == (registry.paths.absolute(version.path) / "report.html").read_bytes()
