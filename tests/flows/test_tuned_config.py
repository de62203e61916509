"""The winner of a search as a configuration: all the rest is that of the one it started from."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.tuned_config import tuned_file, write_tuned_config
from sentinel.config import Config, load_config
from sentinel.errors import ConfigInvalid
from tests.conftest import ROOT

HANDBOOK = (ROOT / "configs" / "handbook.toml").read_text()
FOUND = {"learning_rate": 1e-05, "epochs": 31, "dropout": 0.123456789012345}


def config(folder: Path, text: str) -> Config:
    (folder / "mine.toml").write_text(text)
    return load_config(folder / "mine.toml")


@pytest.mark.parametrize(
    "text",
    [
        HANDBOOK,
        HANDBOOK.replace("[gates]", "[training]  # by hand\nseed = 11\nepochs = 3 # few\n\n[gates]"),
        HANDBOOK + '\n[training]\nepochs = 3\nprecision = "fp32"',
    ],
)
def test_only_training_changes_and_only_where_something_was_found(tmp_path: Path, text: str) -> None:
    base = config(tmp_path, text)
    file = tuned_file(base)
    write_tuned_config(base, FOUND, ["found today"], file)
    tuned = load_config(file)
    assert file == tmp_path / "mine_tuned.toml"
    assert tuned.training == base.training.model_copy(update=FOUND)
    everything_else = {"training", "file", "lines"}
    assert tuned.model_dump(exclude=everything_else) == base.model_dump(exclude=everything_else)
    assert file.read_text().count("[training]") == 1 and "# found today" in file.read_text()


def test_tuned_configuration_can_be_tuned_again(tmp_path: Path) -> None:
    base = config(tmp_path, HANDBOOK)
    write_tuned_config(base, FOUND, ["first"], tuned_file(base))
    again = load_config(tuned_file(base))
    write_tuned_config(again, {"width": 64}, ["second"], tuned_file(again))
    assert load_config(tuned_file(again)).training == base.training.model_copy(update={**FOUND, "width": 64})
    assert "first" not in tuned_file(again).read_text()


def test_what_cannot_be_written_faithfully_is_refused_and_the_earlier_winner_stays(tmp_path: Path) -> None:
    base = config(tmp_path, HANDBOOK.replace('name = "handbook"', 'name = "handbook"\ntraining.seed = 3'))
    tuned_file(base).write_text("an earlier one")
    with pytest.raises(ConfigInvalid, match=r"outside of a \[training\] section"):
        write_tuned_config(base, FOUND, [], tuned_file(base))
    assert tuned_file(base).read_text() == "an earlier one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.toml", "mine_tuned.toml"]
