"""A configuration that is wrong is refused with file, line and mend."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sentinel.config import Duration, Training, load_config
from sentinel.errors import ConfigInvalid
from sentinel.features.spec import feature_set
from tests.conftest import ROOT

GOOD = (ROOT / "configs" / "handbook.toml").read_text()
DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", [path.name for path in sorted((ROOT / "configs").glob("*.toml"))])
def test_every_shipped_configuration_is_valid(name: str) -> None:
    assert load_config(ROOT / "configs" / name).name == Path(name).stem


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('customer_id = "CUSTOMER_ID"', "", "columns.customer_id is missing"),
        ("min_pr_auc = 0.6", "min_pr_auc = 1.5", "gates.min_pr_auc = 1.5"),
        ("min_pr_auc = 0.6", "min_pr_acu = 0.6", "unknown key gates.min_pr_acu"),
        ('label_delay = "7d"', 'label_delay = "7 weeks"', "features.label_delay = '7 weeks'"),
        ('label_delay = "7d"', 'label_delay = "999999999d"', "a duration is at most"),
        ('amount = "TX_AMOUNT"', '# amount = "?"', ":9: columns.amount is not decided yet"),
        ('name = "handbook"', 'name = "Hand Book"', "name = 'Hand Book'"),
        ("[gates]", "[gates]\nmin_pr_auc = 0.1", "no valid TOML"),
        (
            "[gates]",
            '[gates]\nnot_applicable = ["no_champoin"]',
            "gates.not_applicable.0 = 'no_champoin': Input should be",
        ),
        ('name = "handbook"', 'name = "handbook"\nfile = "x"', "unknown key 'file'"),
        ("fraud_scenario = {", "amount_minor = {", "'amount_minor' has a name that is taken"),
        ("fraud_scenario = {", "probability = {", "'probability' has a name that is taken"),
        (
            "[gates]",
            "[training]\nfalse_positive_rate = 0.02\nalerts_a_day = 50\n\n[gates]",
            ":25: training.alerts_a_day = 50: the threshold keeps one budget, and false_positive_rate = 0.02 is",
        ),
        (
            "[gates]",
            "[training]\nlearning_rate = true\n\n[gates]",
            ":24: training.learning_rate = True: true and",
        ),
        ("[gates]", "[training]\ntrees = true\n\n[gates]", ":24: training.trees = True: true and false"),
        (
            "[gates]",
            "[training]\nseed = 4294967296\n\n[gates]",
            ":24: training.seed = 4294967296: Input should",
        ),
        ("[gates]", "[training]\ndevices = 0\n\n[gates]", ":24: training.devices = 0: Input should be 'auto'"),
    ],
)
def test_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    file = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigInvalid) as caught:
        load_config(file)
    assert told in str(caught.value)
    assert str(file) in str(caught.value)


def test_threshold_keeps_the_one_budget_that_is_written_also_when_read_back() -> None:
    budgets = [Training(), Training(false_positive_rate=0.02), Training(alerts_a_day=50)]
    assert [(each.false_positive_rate, each.alerts_a_day) for each in budgets] == [
        (0.01, None),
        (0.02, None),
        (None, 50),
    ]
    assert [Training.model_validate(each.model_dump(mode="json")) for each in budgets] == budgets


def test_place_is_the_line_of_the_key(tmp_path: Path) -> None:
    lines = GOOD.splitlines()
    config = load_config(written(tmp_path, GOOD))
    number = next(number for number, line in enumerate(lines, start=1) if line.startswith("amount ="))
    assert config.where("columns.amount").endswith(f"mine.toml:{number}")
    assert config.where("columns.recorded_at") == config.where("columns")


def test_no_feature_can_be_the_name_of_a_declared_column(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD))
    computed = [
        name for view in feature_set(config.columns, config.features).views for name in (*view.stored, view.age)
    ]
    assert len(computed) > 20
    for name in computed:
        with pytest.raises(ConfigInvalid, match=f"{name!r} has a name that is taken"):
            load_config(written(tmp_path, GOOD.replace("fraud_scenario = {", f"{name} = {{")))


@given(st.integers(0, 10_000), st.sampled_from("smhd"))
def test_written_duration_reads_back(count: int, unit: str) -> None:
    read = DURATION.validate_python(f"{count}{unit}")
    assert DURATION.validate_python(DURATION.dump_python(read)) == read


@given(st.text(max_size=6).filter(lambda text: not text.strip()[-1:].isalpha()))
def test_duration_without_unit_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(text)
