"""What is guessed of a table, how sure, and that a configuration comes of it which reads the table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.config import Config, load_config
from sentinel.data import guess_table
from sentinel.data.guess import Guessed, guess
from sentinel.data.guess_document import Guess, document, toml
from sentinel.data.guess_forms import NumberForm, number_form, time_formats
from sentinel.data.guess_inputs import shape
from sentinel.data.guess_words import label_meaning, name_fits, plain_name
from sentinel.data.ingestion import ingest
from sentinel.errors import ConfigInvalid, DataContractError
from tests.data import layouts


def looked(path: Path) -> dict[tuple[str, str], Guess]:
    return by_key(guess(path, "mine", scratch=path.parent))


def by_key(guessed: Guessed) -> dict[tuple[str, str], Guess]:
    return {(one.section, one.key): one for one in guessed.guesses}


def marked(found: dict[tuple[str, str], Guess], certainty: str, section: str = "columns") -> dict[str, Any]:
    return {key: one.value for (where, key), one in found.items() if (where, one.certainty) == (section, certainty)}


def written(guessed: Guessed, path: Path) -> Path:
    path.write_text(document(guessed.guesses, ["made by a test"]))
    return path


def load(source: Path, answers: str = "") -> Config:
    """The configuration that is guessed, with what the user adds."""
    file = written(guess(source, "mine", scratch=source.parent), source.parent / "mine.toml")
    text = file.read_text()
    for line in answers.splitlines():
        key = line.partition(" = ")[0]
        assert f'# {key} = "?"' in text
        text = text.replace(f'# {key} = "?"', line)
    file.write_text(text)
    return load_config(file)


# Layouts


def test_bank_is_guessed_whole(tmp_path: Path) -> None:
    found = looked(layouts.as_parquet(layouts.bank(), tmp_path / "bank.parquet"))
    assert marked(found, "sure") == {
        "transaction_id": "transaction_id",
        "event_timestamp": "event_time",
        "customer_id": "customer_id",
        "merchant_id": "merchant_id",
        "amount": "amount",
        "label_available_at": "label_available_at",
    }
    assert marked(found, "guess") == {"is_fraud": "label"}
    assert found["source.labels", "unknown"].value == ["unknown", ""]
    assert found["source", "missing_words"].value == ["n/a"]
    assert found["validation.categories", "country"].value == ["DE", "FR"]
    assert marked(found, "left_out").keys() == {"day_number", "note", "bank"}
    assert found["columns.categorical", "fraud_kind"].value["use"] == "slice"
    assert found["columns.categorical", "fraud_kind"].certainty == "guess"
    assert found["splits", "label_maturity"].value == "5d"
    assert ("features", "label_delay") not in found


def test_steps_are_a_clock_and_a_missing_id_is_asked_for(tmp_path: Path) -> None:
    found = looked(layouts.as_csv(layouts.paysim(), tmp_path / "paysim.csv"))
    assert marked(found, "open").keys() == {"transaction_id"}
    assert "number of the row" in found["columns", "transaction_id"].reason
    assert found["columns", "customer_id"].value == "nameOrig"
    assert found["columns", "merchant_id"].value == "nameDest"
    assert (found["columns", "is_fraud"].value, found["columns", "is_fraud"].certainty) == ("isFraud", "sure")
    assert found["columns.categorical", "is_flagged_fraud"].value["use"] == "slice"
    assert found["columns.numeric", "newbalance_orig"].certainty == "guess"
    assert found["columns.numeric", "oldbalance_org"].certainty == "sure"
    assert (found["source.clock", "unit"].value, found["source.clock", "unit"].certainty) == ("h", "guess")
    assert found["source.clock", "origin"].certainty == "guess"


def test_seconds_and_parts_of_a_card(tmp_path: Path) -> None:
    found = looked(layouts.as_csv(layouts.ieee(), tmp_path / "ieee.csv"))
    assert found["columns", "transaction_id"].value == "TransactionID"
    assert found["columns", "event_timestamp"].value == "TransactionDT"
    assert (found["columns", "customer_id"].value, found["columns", "customer_id"].certainty) == ("card1", "guess")
    assert found["columns.entities", "card_2"].certainty == "open"
    assert "quarantine" in found["columns.entities", "card_2"].reason
    assert found["columns.numeric", "dist_1"].value == "dist1"
    assert found["source.clock", "unit"].value == "s"


def test_european_export(tmp_path: Path) -> None:
    found = looked(layouts.as_csv(layouts.europe(), tmp_path / "europe.csv", ";"))
    assert marked(found, "open") == {}
    source = {key: one.value for (section, key), one in found.items() if section == "source"}
    assert source == {
        "time_format": "%d.%m.%Y %H:%M:%S",
        "time_zone": "UTC",
        "amount_unit": "major",
        "decimal_separator": ",",
        "thousands_separator": ".",
        "currency_signs": ["€"],
    }
    assert found["source", "time_zone"].certainty == "guess"
    assert found["source.labels", "fraud"].value == ["ja"]


def test_anonymous_table_leaves_two_questions(tmp_path: Path) -> None:
    source = layouts.as_csv(layouts.anonymous(), tmp_path / "anonymous.csv")
    guessed = guess(source, "mine", scratch=tmp_path)
    assert guessed.unanswered == ["transaction_id", "customer_id"]
    file = written(guessed, tmp_path / "mine.toml")
    with pytest.raises(ConfigInvalid) as caught:
        load_config(file)
    for key in guessed.unanswered:
        line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if text.startswith(f"# {key} ="))
        assert f"{file}:{line}: columns.{key} is not decided yet" in str(caught.value)


def test_table_without_labels_asks_which_column_has_them(tmp_path: Path) -> None:
    table = layouts.bank()
    for name in ("label", "label_available_at", "fraud_kind"):
        del table[name]
    table["is_weekend"] = np.arange(len(table["note"])) % 2
    found = looked(layouts.as_parquet(table, tmp_path / "bank.parquet"))
    assert marked(found, "open").keys() == {"is_fraud"}
    assert "'is_weekend'" in found["columns", "is_fraud"].reason


@pytest.mark.parametrize(("rate", "key"), [(0.18, "max_fraud_rate"), (0.0003, "min_fraud_rate")])
def test_bounds_let_the_share_of_frauds_through(tmp_path: Path, rate: float, key: str) -> None:
    config = load(layouts.as_parquet(layouts.bank(30_000, rate=rate), tmp_path / "bank.parquet"))
    assert config.validation.min_fraud_rate < rate < config.validation.max_fraud_rate
    assert key in config.validation.model_fields_set


@pytest.mark.parametrize(
    ("layout", "answers"),
    [
        ("bank", ""),
        ("europe", ""),
        ("ieee", ""),
        ("anonymous", 'transaction_id = "V1"\ncustomer_id = "V2"'),
    ],
)
def test_guessed_configuration_reads_its_table(tmp_path: Path, layout: str, answers: str) -> None:
    table = layouts.LAYOUTS[layout]()
    source = layouts.as_csv(table, tmp_path / f"{layout}.csv", ";")
    config = load(source, answers)
    ingested = ingest([source], config.columns, config.source, tmp_path / "out", where=config.where)
    assert ingested.quarantined == {}
    assert ingested.frauds > 0
    sizes = config.splits
    needed = sizes.history + sizes.validation + sizes.calibration + sizes.test + 4 * sizes.label_maturity
    times = pq.read_table(tmp_path / "out" / "transactions.parquet", columns=["event_timestamp"])["event_timestamp"]
    assert times[-1].as_py() - times[0].as_py() > needed


def test_the_same_is_guessed_of_csv_and_parquet(tmp_path: Path) -> None:
    table = layouts.ieee()
    of_csv = looked(layouts.as_csv(table, tmp_path / "mine.csv"))
    of_parquet = looked(layouts.as_parquet(table, tmp_path / "mine.parquet"))
    assert [(key, one.value) for key, one in of_csv.items()] == [(key, one.value) for key, one in of_parquet.items()]


def test_large_file_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = layouts.as_parquet(layouts.bank(20_000), tmp_path / "bank.parquet")
    whole = by_key(guess(source, "mine", scratch=tmp_path))
    monkeypatch.setattr(guess_table, "KEPT_CELLS", 60_000)
    guessed = guess(source, "mine", scratch=tmp_path)
    assert (guessed.rows, guessed.every) == (20_000, 4)
    in_part = by_key(guessed)
    assert marked(in_part, "sure") == marked(whole, "sure")
    assert in_part["columns", "customer_id"].reason.startswith("90 different values, each 222.2 times")
    told = [one["source.labels", "fraud"].reason for one in (whole, in_part)]
    frauds = [int(re.search(r"'fraud' ([\d,]+)", text)[1].replace(",", "")) for text in told]  # type: ignore[index]
    assert abs(frauds[1] / frauds[0] - 1) < 0.2


def test_id_that_repeats_every_other_row_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every k-th row may look unique where the whole file is not."""
    table = layouts.bank(20_000)
    table["transaction_id"] = np.arange(20_000) // 2
    monkeypatch.setattr(guess_table, "KEPT_CELLS", 60_000)
    found = looked(layouts.as_parquet(table, tmp_path / "bank.parquet"))
    assert found["columns", "transaction_id"].certainty == "guess"
    assert "Some rows share a value" in found["columns", "transaction_id"].reason


# What is shown


def test_keys_are_shown_by_their_form_alone(tmp_path: Path) -> None:
    """A configuration goes into git; a key may be a card number."""
    found = looked(layouts.as_csv(layouts.europe(), tmp_path / "europe.csv", ";"))
    assert "'A-99999'" in found["columns", "customer_id"].reason
    assert "K-0" not in found["columns", "customer_id"].reason
    assert shape("Ann 4111-77") == "Aaa 9999-99"


def test_values_cannot_break_out_of_a_comment_or_a_string(tmp_path: Path) -> None:
    table = layouts.bank()
    rows = len(table["note"])
    table['odd "name"\n[gates]'] = np.random.default_rng(1).choice(["a\nmin_pr_auc = 1", 'b"]', "c\u2028d"], rows)
    config = load(layouts.as_parquet(table, tmp_path / "bank.parquet"))
    assert config.columns.categorical["odd_name_gates"].source == 'odd "name"\n[gates]'
    assert config.gates.min_pr_auc < 1


@given(st.text(max_size=20), st.integers(-(10**9), 10**9), st.floats(0, 1))
@settings(deadline=None)
def test_every_value_reads_back(text: str, number: int, share: float) -> None:
    import tomllib

    share = round(share, 9)
    line = f"x = {toml([text, number, share])}\ny = {toml({'a': text, 'b': True})}"
    assert tomllib.loads(line) == {"x": [text, number, share], "y": {"a": text, "b": True}}


# Forms, names and words


@pytest.mark.parametrize(
    ("texts", "form"),
    [
        (["1", "2.5", "-3e2"], NumberForm(".", "", (), True)),
        (["12.34", "1,234.56"], NumberForm(".", ",", (), True)),
        (["12,34", "1.234,56"], NumberForm(",", ".", (), True)),
        (["12,34", "7,5"], NumberForm(",", "", (), True)),
        (["1 234,56 €", "(7,00 €)"], NumberForm(",", " ", ("€",), True)),
        (["1.234", "12.500"], NumberForm(".", "", (), False)),
        (["1,234", "12,500"], NumberForm(",", "", (), False)),
        (["a1", "b2"], None),
        (["12 apples", "3 pears"], None),
        ([], None),
    ],
)
def test_form_of_numbers(texts: list[str], form: NumberForm | None) -> None:
    assert number_form(tuple(texts)) == form


def test_day_and_month_that_cannot_be_told_apart_give_two_formats() -> None:
    assert time_formats(("03/04/2025", "05/06/2025")) == ("%d/%m/%Y", "%m/%d/%Y")
    assert time_formats(("03/14/2025", "05/06/2025")) == ("%m/%d/%Y",)
    assert time_formats(("3 o'clock",)) == ()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("TX_FRAUD_SCENARIO", "tx_fraud_scenario"),
        ("isFraud", "is_fraud"),
        ("card1", "card_1"),
        ("Händler-ID", "händler_id"),
    ],
)
def test_plain_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_names_that_only_seem_to_fit() -> None:
    assert name_fits("customer_age", "customer_id") == 0
    assert name_fits("merchant_category", "merchant_id") == 0
    assert name_fits("label_available_at", "label_available_at") == 2


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("1.0", "fraud"), (" Legit ", "genuine"), ("", "unknown"), ("maybe", None), ("0.00", "genuine")],
)
def test_words_of_labels(word: str, meaning: str | None) -> None:
    assert label_meaning(word) == meaning


# Refusals


def test_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("id,amount\n")
    with pytest.raises(DataContractError, match="no rows"):
        guess(tmp_path / "empty.csv", "mine", scratch=tmp_path)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="is a folder"):
        guess(tmp_path, "mine", scratch=tmp_path)
