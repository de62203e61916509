"""What a reviewer reads in MLflow: what changed, what did not pass, where the rest is; never more than fits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sentinel.artifacts import Release
from sentinel.promotion.summary import MOST, Home, cut, summary, with_state
from tests.promotion.releases import FAILING

Made = list[tuple[Release, Path]]
HOME = Home("7", "r-1", "m-1", has_data_docs=True)


def test_changes_against_the_champion_old_and_new(releases: Made) -> None:
    text = summary(releases[1][1], HOME, champion=("1", releases[0][1]))
    lines = text.splitlines()
    assert lines[0].startswith("**Every gate passed.** ") and lines[0].endswith(" of 24 gates passed.")
    assert "| | champion, version 1 → this version |" in lines
    changed = {line.split("|")[1].strip(): line.split("|")[2] for line in lines if " → " in line and line[0] == "|"}
    assert "pr_auc" in changed and changed["pr_auc"].count("→") == 1
    (same,) = (line for line in lines if line.startswith("The same: "))
    assert "threshold" in same and "data version" in same and "feature set" in same


def test_failed_gates_come_first_and_links_hold_for_any_address_of_mlflow(releases: Made) -> None:
    text = summary(releases[FAILING - 1][1], HOME)
    assert text.startswith("**Failed: pr\\_auc\\_floor.**")
    assert "[evidence and all files](#/experiments/7/models/m-1/artifacts)" in text
    files = "ajax-api/2.0/mlflow/logged-models/m-1/artifacts/files?artifact_file_path="
    assert f"[full report]({files}report.html)" in text and f"[card]({files}card.md)" in text
    assert "[data docs](#/experiments/7/runs/r-1/artifacts/data_docs/index.html)" in text
    assert "data docs" not in summary(releases[0][1], Home("7", "r-1", "m-1"))


def test_undecided_gates_are_named_before_the_count(releases: Made, tmp_path: Path) -> None:
    folder = shutil.copytree(releases[0][1], tmp_path / "release", copy_function=shutil.copyfile)
    judged = json.loads((folder / "gates.json").read_text())
    (compared,) = (gate for gate in judged["gates"] if gate["name"] == "better_than_champion")
    compared["outcome"] = "undecided"
    (folder / "gates.json").write_text(json.dumps(judged))
    text = summary(folder, HOME)
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
