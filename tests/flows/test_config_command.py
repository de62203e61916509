"""`sentinel config new` as a user calls it: a file is written once, and says what is to be answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data import layouts
from tests.flows.test_data_commands import project, sentinel

__all__ = ["project"]


@pytest.fixture
def source(project: Path) -> Path:
    return layouts.as_csv(layouts.ieee(1000), project.parent / "Card Export.csv")


def test_configuration_is_named_after_the_file_and_can_be_used_at_once(project: Path, source: Path) -> None:
    made = sentinel(project, "config", "new", "--from", source)
    assert made.returncode == 0, made.stderr
    assert "sentinel data ingest" in made.stdout
    assert (project / "configs" / "card_export.toml").is_file()
    found = sentinel(project, "data", "ingest", source, "--config", "configs/card_export.toml", "--json")
    assert json.loads(found.stdout)["rows"] == 1000, found.stderr
    assert not list((project / ".sentinel").glob("looking-*"))


def test_document_has_every_guess_with_its_reason(project: Path, source: Path) -> None:
    made = sentinel(project, "config", "new", "--from", source, "--out", "configs/mine.toml", "--json")
    document = json.loads(made.stdout)
    assert (document["rows"], document["columns"], document["unanswered"]) == (1000, 9, [])
    amount = next(one for one in document["guesses"] if one["key"] == "amount")
    assert (amount["value"], amount["certainty"]) == ("TransactionAmt", "sure")
    assert "different values" in amount["reason"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "configs/default.toml"], "nothing is overwritten"),
        (["--name", "default", "--out", "configs/other.toml"], "has the name 'default' already"),
        (["--name", "My Data"], "no name for a data set"),
    ],
)
def test_nothing_is_overwritten_and_no_name_taken_twice(
    project: Path, source: Path, words: list[str], told: str
) -> None:
    before = (project / "configs" / "default.toml").read_bytes()
    made = sentinel(project, "config", "new", "--from", source, *words)
    assert (made.returncode, told in " ".join(made.stderr.split())) == (2, True), made.stderr
    assert (project / "configs" / "default.toml").read_bytes() == before
    assert [path.name for path in (project / "configs").iterdir()] == ["default.toml"]


def test_unanswered_question_is_named_when_the_configuration_is_used(project: Path) -> None:
    table = layouts.bank(1000)
    for name in ("label", "label_available_at", "fraud_kind"):
        del table[name]
    source = layouts.as_parquet(table, project.parent / "bank.parquet")
    made = sentinel(project, "config", "new", "--from", source)
    assert "cannot be used before is_fraud is answered" in made.stdout, made.stderr
    found = sentinel(project, "data", "ingest", source, "--config", "configs/bank.toml")
    assert found.returncode == 2
    assert "columns.is_fraud is not decided yet" in found.stderr
    assert "Traceback" not in found.stderr
