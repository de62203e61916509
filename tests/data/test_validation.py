"""The data gate finds every kind of damage, names it, and lets no damaged table through."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sentinel.artifacts import RawData, ValidatedData
from sentinel.config import Column, Columns, Validation
from sentinel.data.drift import Reference
from sentinel.data.suite_files import write_suite_files
from sentinel.data.validation import DataRejected, validate
from sentinel.errors import ConfigInvalid, ValidationFailed
from sentinel.paths import Paths
from sentinel.storage import sha256_file
from tests.tables import CHANNELS, COUNTRIES, canonical_table

ROOT = Path(__file__).parents[2]
MATURITY = timedelta(days=7)
COLUMNS = Columns(
    transaction_id=Column(source="id"),
    event_timestamp=Column(source="time"),
    recorded_at=Column(source="arrived"),
    customer_id=Column(source="customer"),
    merchant_id=Column(source="merchant"),
    amount=Column(source="amount"),
    is_fraud=Column(source="fraud"),
    label_available_at=Column(source="known"),
    numeric={"distance_km": Column(source="distance")},
    categorical={"country": Column(source="country"), "channel": Column(source="channel")},
)
SETTINGS = Validation(categories={"country": COUNTRIES, "channel": CHANNELS})


@dataclass(frozen=True)
class Gate:
    """One data set's gate in a folder of its own."""

    home: Path
    columns: Columns = COLUMNS
    settings: Validation = SETTINGS

    @property
    def out(self) -> Path:
        return self.home / "stages" / "validate"

    @property
    def verdict(self) -> dict:
        return json.loads((self.out / "verdict.json").read_text())

    def outcomes(self, *wanted: str) -> set[str]:
        return {found["name"] for found in self.verdict["findings"] if found["outcome"] in wanted}

    def judge(self, table: pa.Table, reference: Reference | None = None) -> ValidatedData:
        folder = self.home / "data"
        folder.mkdir(exist_ok=True)
        pq.write_table(table, folder / "transactions.parquet")
        raw = RawData(
            path="data", sha256="", version="1", rows=table.num_rows, frauds=0,
            transactions_sha256=sha256_file(folder / "transactions.parquet"),
        )  # fmt: skip
        return validate(
            raw, self.columns, self.settings, MATURITY,
            name="shop", paths=Paths(ROOT, self.home), out=self.out, reference=reference,
        )  # fmt: skip


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


@pytest.fixture(scope="module")
def good() -> pa.Table:
    return canonical_table(with_recorded_at=True)


def setting(table: pa.Table, column: str, values: object) -> pa.Table:
    kind = table.schema.field(column).type
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)
    return table.set_column(table.schema.get_field_index(column), column, array)


def changing(column: str, row: int, value: object, rows: int = 3) -> Callable[[pa.Table], pa.Table]:
    """Put `value` in `rows` rows from `row` on."""

    def damage(table: pa.Table) -> pa.Table:
        values = table.column(column).to_pylist()
        values[row : row + rows] = [value] * rows
        return setting(table, column, values)

    return damage


def everywhere(column: str, value: object) -> Callable[[pa.Table], pa.Table]:
    return lambda table: setting(table, column, [value] * table.num_rows)


def shifted(column: str, by: timedelta) -> Callable[[pa.Table], pa.Table]:
    """Three values of `column` set `by` away from the row's event time."""

    def damage(table: pa.Table) -> pa.Table:
        values = table.column(column).to_pylist()
        events = table.column("event_timestamp").to_pylist()
        values[10:13] = [event + by for event in events[10:13]]
        return setting(table, column, values)

    return damage


def labelled(fraud: bool) -> Callable[[pa.Table], pa.Table]:
    """Every known label is the same."""
    return lambda table: setting(
        table, "is_fraud", pc.if_else(table.column("is_fraud").is_valid(), fraud, pa.scalar(None, pa.bool_()))
    )


def cast_to(column: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    return lambda table: setting(table, column, table.column(column).cast(kind))


def repeated_row(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 1), table])


def repeated_content(table: pa.Table) -> pa.Table:
    """A tenth of the rows once more, under new ids."""
    copies = table.slice(0, 200)
    ids = pa.array(np.arange(1_000_000, 1_000_200))
    return pa.concat_tables([table, setting(copies, "transaction_id", ids)]).sort_by("event_timestamp")


def out_of_order(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(1000), table.slice(0, 1000)])


def with_a_gap(table: pa.Table) -> pa.Table:
    times = table.column("event_timestamp")
    start = times[0].as_py()
    gone = pc.and_(pc.greater(times, start + timedelta(days=20)), pc.less(times, start + timedelta(days=40)))
    return table.filter(pc.invert(gone))


def without_old_labels(table: pa.Table) -> pa.Table:
    values = table.column("is_fraud").to_pylist()
    values[:500] = [None] * 500
    return setting(table, "is_fraud", values)


def within_a_week(table: pa.Table) -> pa.Table:
    times = table.column("event_timestamp")
    return table.filter(pc.less(times, times[0].as_py() + timedelta(days=6)))


def refunds(table: pa.Table) -> pa.Table:
    amounts = np.asarray(table.column("amount_minor")).copy()
    amounts[:400] *= -1
    return setting(table, "amount_minor", amounts)


def united_states(table: pa.Table) -> pa.Table:
    return setting(table, "country", pc.replace_substring(table.column("country"), "US", "United States"))


FAULTS = [
    ("columns", lambda table: table.append_column("shoe_size", pa.array([1.0] * table.num_rows)), "shoe_size"),
    ("columns", lambda table: table.drop_columns("channel"), "the table lacks channel"),
    ("types", cast_to("amount_minor", pa.float64()), "amount_minor is float64, where the contract wants int64"),
    ("types", cast_to("amount_minor", pa.string()), "amount_minor is string, where the contract wants int64"),
    ("types", cast_to("customer_id", pa.int32()), "customer_id is int32"),
    ("types", cast_to("event_timestamp", pa.timestamp("us")), "where the contract wants timestamp[us, UTC]"),
    ("types", cast_to("is_fraud", pa.int64()), "is_fraud is int64, where the contract wants bool"),
    ("transaction_id_unique", repeated_row, "2 rows (0.1 %) share their transaction_id and recorded_at"),
    ("customer_id_present", changing("customer_id", 5, None), "customer_id: 3 rows (0.15 %) have no value"),
    ("merchant_id_present", changing("merchant_id", 5, None), "merchant_id: 3 rows"),
    ("transaction_id_present", changing("transaction_id", 5, None), "transaction_id: 3 rows"),
    ("amount_minor_present", changing("amount_minor", 5, None), "amount_minor: 3 rows"),
    ("recorded_at_present", changing("recorded_at", 5, None), "recorded_at: 3 rows"),
    ("event_timestamp_present", changing("event_timestamp", 5, None), "event_timestamp: 3 rows"),
    ("merchant_id_several", everywhere("merchant_id", 4), "identifies nobody"),
    ("customer_id_several", everywhere("customer_id", 4), "identifies nobody"),
    ("amount_minor_plausible", changing("amount_minor", 5, 10**9), "beyond validation.max_amount_minor"),
    ("amount_minor_plausible", changing("amount_minor", 5, -(10**9)), "such as -1000000000"),
    ("amount_minor_mostly_positive", refunds, "400 rows (20 %) are zero or negative"),
    ("amount_minor_varies", everywhere("amount_minor", 100), "only 1 different amounts"),
    (
        "label_available_at_plausible",
        changing("label_available_at", 5, datetime(9999, 1, 1, tzinfo=UTC)),
        "3 rows (0.155 %) lie before 1990 or after 2100, such as '9999-01-01",
    ),
    ("recorded_at_after_event", shifted("recorded_at", timedelta(hours=-1)), "3 rows (0.15 %) are earlier"),
    ("label_available_at_after_event", shifted("label_available_at", timedelta(days=-1)), "3 rows"),
    ("rows_in_order", out_of_order, "1 rows are earlier than the row before them"),
    ("no_gaps", with_a_gap, "of 90 days have no transaction"),
    ("fraud_rate", labelled(False), "is_fraud: the share of frauds is 0, outside"),
    ("fraud_rate", labelled(True), "the share of frauds is 1, outside"),
    ("labels_mature", without_old_labels, "older than splits.label_maturity = 7 days have no label"),
    ("label_available_at_present", changing("label_available_at", 5, None), "no moment at which it became known"),
    (
        "country_known",
        united_states,
        "'United States' in 411 rows, which is not in the declared domain DE, FR, GB, NL, US; 'US', declared, does not",
    ),
    ("distance_km_finite", changing("distance_km", 5, float("inf")), "distance_km: 3 rows"),
]


@pytest.mark.parametrize(
    ("name", "damage", "sentence"), FAULTS, ids=[f"{i}-{case[0]}" for i, case in enumerate(FAULTS)]
)
def test_a_fault_is_found_and_named_and_nothing_else_is(
    gate: Gate, good: pa.Table, name: str, damage: Callable[[pa.Table], pa.Table], sentence: str
) -> None:
    with pytest.raises(ValidationFailed) as caught:
        gate.judge(damage(good))
    (failed,) = caught.value.failures  # type: ignore[attr-defined]
    assert failed.name == name
    assert sentence in failed.sentence
    assert failed.sentence in str(caught.value)
    assert gate.outcomes("failed") == {name}
    assert failed.sentence.split("'")[0] in (gate.home / "data_docs" / "shop" / "index.html").read_text()


WARNINGS = [
    ("content_unique", repeated_content, "repeat another row under a different transaction_id"),
    ("distance_km_mostly_present", lambda table: changing("distance_km", 0, None, 1500)(table), "have no value"),
    ("channel_varies", everywhere("channel", "chip"), "channel: all rows hold the same value"),
]


@pytest.mark.parametrize(("name", "damage", "sentence"), WARNINGS, ids=[case[0] for case in WARNINGS])
def test_an_oddity_is_a_warning_and_does_not_stop_the_run(
    gate: Gate, good: pa.Table, name: str, damage: Callable[[pa.Table], pa.Table], sentence: str
) -> None:
    validated = gate.judge(damage(good))
    (warning,) = validated.warnings
    assert sentence in warning
    assert gate.outcomes("warning", "failed", "not_checked") == {name}


def test_a_good_table_passes_every_expectation(gate: Gate, good: pa.Table) -> None:
    validated = gate.judge(good)
    assert validated.expectations == len(gate.outcomes("passed")) == 38
    assert validated.rows == good.num_rows
    assert validated.warnings == ()
    assert validated.holds(gate.home)
    assert (gate.home / validated.transactions).is_file()
    assert validated.transactions_sha256 == sha256_file(gate.home / validated.transactions)


def test_the_verdict_of_the_same_data_is_the_same_to_the_byte(gate: Gate, good: pa.Table) -> None:
    first = gate.judge(good)
    assert gate.judge(good) == first


def test_the_verdict_says_what_each_expectation_is_and_came_to(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected):
        gate.judge(united_states(good))
    verdict = gate.verdict
    assert verdict["passed"] is False
    assert verdict["rows"] == good.num_rows
    assert sum(verdict["outcomes"].values()) == verdict["expectations"] == len(verdict["findings"])
    assert all(found["description"] and found["severity"] for found in verdict["findings"])
    (fault,) = [found["fault"] for found in verdict["findings"] if found["fault"]]
    rows = good.column("country").to_pylist().count("US")
    assert fault["unexpected_count"] == rows
    assert fault["sentence"].startswith(f"country holds 'United States' in {rows} rows")
    assert fault["unexpected_fraction"] == pytest.approx(rows / (good.num_rows - good.column("country").null_count))


def test_a_failure_shows_five_rows_by_their_transaction_and_the_way_out(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected) as caught:
        gate.judge(changing("amount_minor", 40, 10**12, rows=9)(good))
    (failed,) = caught.value.failures
    assert list(failed.samples) == [{"transaction_id": 40 + i, "amount_minor": 10**12} for i in range(5)]
    assert "transaction_id = 40, amount_minor = 1000000000000" in str(caught.value)
    assert str(gate.home / "data_docs" / "shop" / "index.html") in str(caught.value)
    assert "[validation]" in str(caught.value)


def test_several_faults_are_all_named_in_the_order_of_the_suite(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected) as caught:
        gate.judge(refunds(united_states(changing("customer_id", 5, None)(good))))
    assert [failed.name for failed in caught.value.failures] == [
        "customer_id_present", "amount_minor_mostly_positive", "country_known",
    ]  # fmt: skip


def test_what_follows_from_a_missing_column_is_not_checked_rather_than_failed(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected, match="4 further expectations could not be checked"):
        gate.judge(good.drop_columns("channel"))
    assert gate.outcomes("not_checked") == {
        "channel_known", "channel_words", "channel_mostly_present", "channel_varies",
    }  # fmt: skip


def test_words_for_a_missing_value_are_found_where_no_values_are_declared(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected, match="3 rows hold 'N/A', a word for a missing value; it must be null"):
        replace(gate, settings=Validation()).judge(changing("country", 5, "N/A")(good))
    assert gate.outcomes("failed") == {"country_words"}


def test_too_few_rows_fail(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected, match=r"has 2,000 rows, fewer than validation\.min_rows = 2,001"):
        replace(gate, settings=SETTINGS.model_copy(update={"min_rows": 2001})).judge(good)
    assert gate.outcomes("failed") == {"row_count"}


def test_an_empty_table_fails(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected):
        gate.judge(good.slice(0, 0))
    assert {"row_count", "span", "no_gaps", "fraud_rate"} <= gate.outcomes("failed")


def test_data_no_longer_than_the_label_maturity_fail(gate: Gate) -> None:
    with pytest.raises(DataRejected, match=r"no more than splits\.label_maturity = 7 days"):
        gate.judge(within_a_week(canonical_table(20_000, with_recorded_at=True)))
    assert gate.outcomes("failed") == {"span"}


def test_a_stray_date_far_away_is_found_as_a_gap(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected):
        gate.judge(changing("event_timestamp", good.num_rows - 1, datetime(2040, 1, 1, tzinfo=UTC), rows=1)(good))
    assert "no_gaps" in gate.outcomes("failed")


def test_a_date_of_another_unit_is_implausible(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected, match=r"event_timestamp: 1 rows .* lie before 1990 or after 2100"):
        gate.judge(changing("event_timestamp", 0, datetime(1970, 1, 21, tzinfo=UTC), rows=1)(good))


def test_a_correction_recorded_later_is_no_duplicate(gate: Gate, good: pa.Table) -> None:
    correction = shifted("recorded_at", timedelta(days=2))(good).slice(10, 1)
    gate.judge(pa.concat_tables([good.slice(0, 11), correction, good.slice(11)]))
    assert gate.outcomes("failed") == set()


def test_without_recorded_at_the_transaction_id_alone_is_unique(gate: Gate) -> None:
    gate = replace(gate, columns=COLUMNS.model_copy(update={"recorded_at": None}))
    good = canonical_table()
    gate.judge(good)
    with pytest.raises(DataRejected, match="share their transaction_id with another row"):
        gate.judge(repeated_row(good))


def test_the_smallest_contract_with_text_for_ids_passes(gate: Gate) -> None:
    least = COLUMNS.model_copy(
        update={"recorded_at": None, "merchant_id": None, "label_available_at": None, "numeric": {}, "categorical": {}}
    )
    table = canonical_table(
        1000, string_ids=True, with_merchant=False, with_label_time=False, with_declared=False
    )  # fmt: skip
    gate = replace(gate, columns=least, settings=Validation())
    assert gate.judge(table).expectations == 19
    with pytest.raises(DataRejected, match="customer_id: 3 rows"):
        gate.judge(changing("customer_id", 5, None)(table))


def test_an_optional_column_may_be_absent_and_a_slice_may_be_empty(gate: Gate, good: pa.Table) -> None:
    declared = {**COLUMNS.categorical, "fraud_kind": Column(source="kind", optional=True, use="slice")}
    gate = replace(gate, columns=COLUMNS.model_copy(update={"categorical": declared}))
    assert gate.judge(good).warnings == ()
    empty = pa.nulls(good.num_rows, pa.string())
    assert gate.judge(good.append_column("fraud_kind", empty)).warnings == ()


def test_a_failure_leaves_its_evidence_and_no_artifact(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected):
        gate.judge(united_states(good))
    assert gate.verdict["passed"] is False
    link = (gate.out / "index.html").read_text().split('href="')[1].split('"')[0]
    assert (gate.out / link).is_file()
    gate.judge(good)
    assert gate.verdict["passed"] is True
    assert "break their contract" not in (gate.home / "data_docs" / "shop" / "index.html").read_text()


def test_data_docs_hold_the_failed_expectation_and_ask_no_network(gate: Gate, good: pa.Table) -> None:
    with pytest.raises(DataRejected):
        gate.judge(united_states(good))
    site = gate.home / "data_docs" / "shop"
    (page,) = (site / "validations").rglob("*.html")
    assert "Every country is a known value." in page.read_text()
    assert "United States" in page.read_text()
    assert (site / "expectations" / "shop.html").is_file()
    texts = [file.read_text() for file in site.rglob("*") if file.suffix in (".html", ".css")]
    assert [text for text in texts if "<script" in text or 'src="http' in text or "url('http" in text] == []


def test_known_values_of_an_undeclared_column_are_a_mistake_of_the_config(gate: Gate, good: pa.Table) -> None:
    gate = replace(gate, settings=Validation(categories={"county": ("DE",)}))
    with pytest.raises(ConfigInvalid, match="county"):
        gate.judge(good)


def test_the_suites_under_git_are_those_of_the_configs(tmp_path: Path) -> None:
    written = write_suite_files(ROOT / "configs", tmp_path)
    kept = [ROOT / "great_expectations" / file.relative_to(tmp_path) for file in written]
    stale = [
        file
        for file, fresh in zip(kept, written, strict=True)
        if not file.is_file() or file.read_text() != fresh.read_text()
    ]
    assert stale == [], "write them again: python -m sentinel.data.suite_files"


BY_HAND = """
import sys
import great_expectations as gx
import sentinel.data.expectations
from sentinel.data.table_engine import whole_table

context = gx.get_context(context_root_dir=sys.argv[1])
result = context.checkpoints.get("default").run(batch_parameters={"dataframe": whole_table(sys.argv[2])})
(one,) = result.run_results.values()
print([found.expectation_config.meta["name"] for found in one.results if not found.success], len(one.results))
"""


def test_the_folder_is_a_project_that_runs_by_hand(tmp_path: Path) -> None:
    """In a process of its own, as a person would; opening it changes no file that git tracks."""
    table = canonical_table()
    kinds = pa.array(np.asarray(["groceries", "fuel"])[np.arange(table.num_rows) % 2])
    country = pc.replace_substring(table.column("country"), "DE", "Deutschland")
    table = setting(table.drop_columns("distance_km"), "country", country)
    table = table.append_column("merchant_category", kinds)
    pq.write_table(table.append_column("fraud_kind", pa.nulls(table.num_rows, pa.string())), tmp_path / "table.parquet")
    folder = tmp_path / "great_expectations"
    shutil.copytree(ROOT / "great_expectations", folder, ignore=shutil.ignore_patterns("uncommitted"))
    (tmp_path / "by_hand.py").write_text(BY_HAND)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    done = subprocess.run(
        [sys.executable, tmp_path / "by_hand.py", folder, tmp_path / "table.parquet"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
    )  # fmt: skip
    suite = json.loads((folder / "expectations" / "default.json").read_text())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"['country_known'] {len(suite['expectations'])}"
    after = {
        file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and "uncommitted" not in file.parts
    }
    assert after == before
