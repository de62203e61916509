"""The leak audit: what knows the future is seen, in whatever form, and what does not is left alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from sentinel.config import Column, Features
from sentinel.errors import AuditBlind, LeakageFound
from sentinel.feature_spec import FeatureSpec
from sentinel.features import build
from sentinel.features.audit import audit, planted
from sentinel.features.audit.audit import audit_features
from sentinel.features.audit.cuts import Transactions, choose_cuts
from sentinel.features.audit.report import LeakReport
from sentinel.features.spec import FeatureSet, feature_set, microseconds
from tests.features.project import Project, columns_of
from tests.tables import START, canonical_table

DAY = timedelta(days=1)
HONEST = FeatureSpec.model_validate(
    {
        "customer": {
            "spending": {"count": ["1h", "30d"], "amount_max": ["7d"], "distinct_merchants": ["7d"]},
            "labels": {"label_count": ["7d"], "fraud_count": ["30d"], "genuine_amount_sum_of_squares": ["30d"]},
        },
        "merchant": {"spending": {"amount_sum": ["1d"]}, "labels": {"fraud_count": ["7d"], "first_fraud_at": ["30d"]}},
        "customer_merchant": {"spending": {"count": ["30d"]}},
        "further": {"spending": {"count": ["7d"]}, "labels": {"fraud_count": ["30d"]}},
    }
)
FIVE = {
    "target mean over all rows",
    "window reaching into the future",
    "label before it was available",
    "the transaction's own label",
    "own amount in its own window",
}


def audited(
    folder: Path, table: pa.Table, spec: FeatureSpec = HONEST, boundaries: Sequence[datetime] = ()
) -> LeakReport:
    rules = Features(spec=spec, label_delay=7 * DAY)
    project = Project(folder, rules)
    mapped = columns_of(dict.fromkeys(table.column_names))
    if "device_id" in table.column_names:
        mapped = mapped.model_copy(update={"entities": {"device": Column(source="device_id")}})
    wanted = feature_set(mapped, rules)
    file = project.paths.absolute(project.store_data(table).transactions)
    return audit_features(file, wanted, boundaries, rules, seed=11, name="tiny", paths=project.paths)


def plain(rows: int, **kinds: Any) -> pa.Table:
    return canonical_table(rows, with_declared=False, **kinds)


def with_corrections(rows: int, seed: int = 2) -> pa.Table:
    """Every tenth transaction comes again days later, with another amount, merchant and label."""
    table = canonical_table(rows, seed, with_recorded_at=True, with_declared=False)
    random = np.random.default_rng(seed)
    again = table.take(pa.array(np.flatnonzero(random.random(rows) < 0.1)))
    backwards = pa.array(np.arange(again.num_rows)[::-1])
    later = pa.array(random.integers(1, 40, again.num_rows) * microseconds(DAY), "duration[us]")
    changed = {
        "recorded_at": pc.add(again["recorded_at"], later),
        "amount_minor": pa.array(np.arange(again.num_rows)),
        "merchant_id": again["merchant_id"].take(backwards),
        "is_fraud": pc.invert(again["is_fraud"]),
    }
    for name, values in changed.items():
        again = again.set_column(again.column_names.index(name), name, values)
    return pa.concat_tables([table, again])


def with_device(table: pa.Table) -> pa.Table:
    devices = np.random.default_rng(4).integers(0, 50, table.num_rows)
    return table.append_column("device_id", pa.array([f"d{device}" for device in devices]))


def without_labels(table: pa.Table) -> pa.Table:
    for name in ("is_fraud", "label_available_at"):
        kind = table.schema.field(name).type
        table = table.set_column(table.column_names.index(name), name, pa.nulls(table.num_rows, kind))
    return table


TABLES: dict[str, Callable[[], pa.Table]] = {
    "label times": lambda: plain(2000),
    "a fixed label delay": lambda: plain(1200, with_label_time=False),
    "corrections": lambda: with_corrections(1500),
    "three entities, text keys": lambda: with_device(plain(1500, string_ids=True)),
    "only customers": lambda: plain(1000, with_merchant=False),
    "keys that hardly come again": lambda: plain(400, customers=390, merchants=5),
    "late labels": lambda: plain(800, label_delay=60 * DAY),
    "no label at all": lambda: without_labels(plain(600)),
}


@pytest.mark.parametrize("name", TABLES)
def test_honest_features_pass_and_every_planted_leak_is_caught(tmp_path: Path, name: str) -> None:
    report = audited(tmp_path, TABLES[name]())
    report.require_no_leak()
    assert report.leaks == () and report.oracle.mismatches == ()
    assert {leak.name for leak in report.planted if leak.caught} == FIVE
    assert report.rows_checked >= 500 and report.oracle.rows_checked > 200
    assert len(report.cuts) >= 6
    assert not list((tmp_path / "home").glob("audit-*"))


LEAKS: dict[str, tuple[str, dict[str, Any]]] = {
    "customer_amount_sum_7d_ahead_1h": (
        "7d and 1h ahead",
        {"customer": {"spending": {"amount_sum": ["1d", {"back": "7d", "ahead": "1h"}]}}},
    ),
    "merchant_amount_max_1h_ahead_1d": (
        "1h and 1d ahead",
        {"merchant": {"spending": {"amount_max": ["7d", {"back": "1h", "ahead": "1d"}]}}},
    ),
    "customer_fraud_count_30d_ahead_1h": (
        "30d and 1h ahead",
        {"customer": {"labels": {"fraud_count": ["30d", {"back": "30d", "ahead": "1h"}], "label_count": ["7d"]}}},
    ),
    "merchant_first_fraud_at_7d_ahead_1d": (
        "7d and 1d ahead",
        {"merchant": {"labels": {"first_fraud_at": ["30d", {"back": "7d", "ahead": "1d"}]}}},
    ),
    "customer_genuine_amount_max_30d": (
        "30d",
        {"customer": {"labels": {"genuine_amount_max": ["30d"], "genuine_amount_sum": ["30d"], "known_after": "0s"}}},
    ),
    "customer_merchant_count_1d": ("1d", {"customer_merchant": {"spending": {"count": ["1d"], "known_after": "0s"}}}),
    "merchant_fraud_count_7d": ("7d", {"merchant": {"labels": {"fraud_count": ["7d"], "known_after": "3d"}}}),
}


@pytest.mark.parametrize("feature", LEAKS)
@pytest.mark.parametrize("with_label_time", [True, False], ids=["label times", "fixed delay"])
def test_leak_in_a_spec_is_told_of_with_its_window(tmp_path: Path, feature: str, with_label_time: bool) -> None:
    window, spec = LEAKS[feature]
    table = plain(1000, with_label_time=with_label_time)
    report = audited(tmp_path, table, FeatureSpec.model_validate(spec))
    (leak,) = [leak for leak in report.leaks if leak.feature == feature]
    assert leak.window == window and leak.value != leak.changed_value
    assert leak.transaction_id in table["transaction_id"].to_pylist()
    assert leak.asked_at <= leak.cut
    honest = [
        found.feature for found in report.leaks if "known_after" not in str(spec) and "ahead" not in found.feature
    ]
    assert honest == []
    with pytest.raises(LeakageFound, match=r"knew the future: asked as of .* about transaction \d+ it is .*") as failed:
        report.require_no_leak()
    assert report.leaks[0].feature in str(failed.value) and report.leaks[0].cut in str(failed.value)


def test_correction_that_rewrites_the_past_is_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a later version were known from its event on."""
    honest = build.versions

    def rewriting(source: Any, wanted: FeatureSet) -> Any:
        return honest(source, wanted).mutate(at=source.event_timestamp + microseconds(wanted.ingestion_lag))

    monkeypatch.setattr(build, "versions", rewriting)
    report = audited(tmp_path, with_corrections(1500))
    assert {leak.feature for leak in report.leaks} >= {"customer_count_30d", "merchant_amount_sum_1d"}
    assert {mismatch.place for mismatch in report.oracle.mismatches} == {"sub-source", "probe"}


def test_label_that_is_there_with_its_transaction_is_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = build.versions

    def early(source: Any, wanted: FeatureSet) -> Any:
        return honest(source.mutate(label_available_at=source.event_timestamp), wanted)

    monkeypatch.setattr(build, "versions", early)
    report = audited(tmp_path, plain(1000))
    leaking = {"customer_fraud_count_30d", "merchant_first_fraud_at_30d", "customer_labels_age_us"}
    leaking.add("customer_genuine_amount_sum_of_squares_30d")
    found = {leak.feature for leak in report.leaks}
    assert leaking <= found
    assert not [name for name in found if "spending" in name or ("amount" in name and "genuine" not in name)]


def test_value_of_all_keys_together_is_no_leak_but_a_mismatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong count that knows nothing of the future: only the oracle sees it."""
    honest = build._measure

    def doubled(events: Any, statistic: Any, where: Any = None) -> Any:
        value = honest(events, statistic, where)
        return value * ibis.literal(2, "int64") if statistic == "count" else value

    monkeypatch.setattr(build, "_measure", doubled)
    report = audited(tmp_path, plain(600))
    assert report.leaks == ()
    assert "customer_count_30d" in {mismatch.feature for mismatch in report.oracle.mismatches}
    with pytest.raises(LeakageFound, match=r"is not what the rules of time say: .* has \d+, counted plainly it is \d+"):
        report.require_no_leak()


def test_audit_that_does_not_see_what_it_planted_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if what it plants were honest."""
    views = planted.planted_views

    def harmless(wanted: FeatureSet) -> Any:
        planted_views = views(wanted)
        honest = planted_views["window reaching into the future"]
        aggregates = tuple(type(each)(each.entity, each.statistic, each.window) for each in honest.aggregates)
        return planted_views | {
            "window reaching into the future": type(honest)(
                honest.entity, honest.kind, honest.keys, aggregates, planted=honest.planted
            )
        }

    monkeypatch.setattr(audit, "planted_views", harmless)
    report = audited(tmp_path, plain(600))
    assert report.caught == 4
    with pytest.raises(AuditBlind, match="is blind: it planted window reaching into the future and did not see it"):
        report.require_no_leak()


def test_table_of_one_moment_cannot_show_a_leak(tmp_path: Path) -> None:
    table = plain(50)
    at_once = pa.array([START] * 50, pa.timestamp("us", "UTC"))
    table = table.set_column(table.column_names.index("event_timestamp"), "event_timestamp", at_once)
    with pytest.raises(AuditBlind, match="50 transactions at one moment: a leak needs a past and a future"):
        audited(tmp_path, table)


def test_cut_stands_at_the_last_payment_before_each_part_ends(tmp_path: Path) -> None:
    table = plain(900)
    ends = [START + 50 * DAY, START + 70 * DAY]
    report = audited(tmp_path, table, boundaries=ends)
    events = table["event_timestamp"].to_pylist()
    expected = {max(event for event in events if event < end).isoformat() for end in ends}
    assert {cut.moment for cut in report.cuts if cut.kind == "split boundary"} == expected


def test_same_seed_gives_the_same_report(tmp_path: Path) -> None:
    table = plain(500)
    first, second = (audited(tmp_path / name, table).to_dict() for name in ("first", "second"))
    assert first | {"seconds": 0} == second | {"seconds": 0}


def test_keys_with_an_endless_history_are_taken_near_the_cut_only(tmp_path: Path) -> None:
    table = plain(20_000, customers=1, merchants=1)
    report = audited(tmp_path, table)
    report.require_no_leak()
    assert all(cut.limited_keys == 2 for cut in report.cuts)
    assert sum(cut.source_rows for cut in report.cuts) < 0.3 * table.num_rows


def test_sub_sources_are_a_small_part_of_many_rows(tmp_path: Path) -> None:
    table = canonical_table(120_000, customers=2000, merchants=1000, with_declared=False, with_label_time=False)
    file = tmp_path / "table.parquet"
    parquet.write_table(table, file)
    rules = Features(spec=HONEST)
    wanted = feature_set(columns_of(dict.fromkeys(table.column_names)), rules)
    source = Transactions(file, wanted)
    cuts = choose_cuts(source, [], np.random.default_rng(1))
    source.close()
    assert sum(cut.rows.num_rows for cut in cuts) <= 0.075 * table.num_rows
    assert all(len(cut.asked) >= 5 for cut in cuts)


def test_rows_that_crowd_at_one_time_are_cut_off(tmp_path: Path) -> None:
    table = plain(20_000, customers=1, merchants=1)
    moments = table["event_timestamp"].to_pylist()
    middle = moments[10_000]
    crowded = [moment if number % 40 == 0 else middle for number, moment in enumerate(moments)]
    place = table.column_names.index("event_timestamp")
    table = table.set_column(place, "event_timestamp", pa.array(crowded, table.schema.types[place]))
    report = audited(tmp_path, table, boundaries=[middle + timedelta(microseconds=1)])
    report.require_no_leak()
    assert middle.isoformat() in {cut.moment for cut in report.cuts}
    assert max(cut.source_rows for cut in report.cuts) < 0.25 * table.num_rows
