from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sentinel.data.draws import below, exponential_quantiles, lognormal_factors, words
from sentinel.data.population import CATEGORIES, COUNTRIES
from sentinel.data.simulator import CHANNELS, KINDS, LABELS, SCHEMA, simulate
from sentinel.errors import DiskFull
from sentinel.storage import sha256_file

START = datetime(2025, 1, 1, tzinfo=UTC)
END = START + timedelta(days=183)
# Changes only with intent: the embedded data's pinned version changes with it.
GOLDEN = "b061f34dd6c1ff339624b106ba1633eaced1b638820aace96c5f86a08340030a"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    out = tmp_path_factory.mktemp("simulated") / "transactions.parquet"
    simulate(out, 200_000, seed=7)
    return pq.read_table(out)


def test_same_seed_gives_the_pinned_bytes(tmp_path: Path) -> None:
    simulate(tmp_path / "a.parquet", 20_000, seed=7)
    assert sha256_file(tmp_path / "a.parquet") == GOLDEN


def test_other_seed_gives_other_rows(tmp_path: Path) -> None:
    for seed in (1, 2):
        simulate(tmp_path / f"{seed}.parquet", 1_000, seed=seed)
    assert pq.read_table(tmp_path / "1.parquet") != pq.read_table(tmp_path / "2.parquet")


@pytest.mark.parametrize("rows", [1_000, 1_001, 131_072, 131_073])
def test_number_of_rows_is_exact(tmp_path: Path, rows: int) -> None:
    simulate(tmp_path / "a.parquet", rows, seed=3)
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    assert metadata.num_rows == rows
    assert metadata.row_group(0).num_rows == min(rows, 1 << 17)


def test_smallest_world_has_frauds(tmp_path: Path) -> None:
    simulate(tmp_path / "a.parquet", 1_000, seed=7)
    assert pc.sum(pc.equal(pq.read_table(tmp_path / "a.parquet")["label"], "fraud")).as_py() > 0


def test_file_has_the_columns_of_the_default_config(simulated: pa.Table) -> None:
    assert simulated.schema.equals(SCHEMA)
    required = [name for name in SCHEMA.names if name != "label_available_at"]
    assert all(simulated[name].null_count == 0 for name in required)


def test_rows_are_sorted_by_time_with_ascending_ids(simulated: pa.Table) -> None:
    assert simulated["transaction_id"].to_pylist() == list(range(200_000))
    times = simulated["event_time"].cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()
    assert simulated["event_time"][0].as_py() >= START and simulated["event_time"][-1].as_py() < END


def test_label_is_unknown_exactly_when_its_time_lies_behind_the_end(simulated: pa.Table) -> None:
    unknown = pc.equal(simulated["label"], "unknown")
    assert unknown.equals(pc.is_null(simulated["label_available_at"]))
    assert pc.max(simulated["label_available_at"]).as_py() < END
    assert 0.005 < pc.mean(unknown.cast(pa.float64())).as_py() < 0.03


def test_known_label_agrees_with_the_answer_key_and_comes_after_the_event(simulated: pa.Table) -> None:
    known = simulated.filter(pc.not_equal(simulated["label"], "unknown"))
    assert pc.equal(known["label"], "fraud").equals(pc.not_equal(known["fraud_kind"], ""))
    delays = (
        known["label_available_at"].cast(pa.int64()).to_numpy() - known["event_time"].cast(pa.int64()).to_numpy()
    ) / 86_400e6
    assert delays.min() > 0
    assert 0.8 < (delays < 7).mean() < 0.97


def test_fraud_rate_and_kinds(simulated: pa.Table) -> None:
    counts = {row["values"]: row["counts"] for row in pc.value_counts(simulated["fraud_kind"]).to_pylist()}
    assert set(counts) == set(KINDS)
    assert 0.006 < 1 - counts[""] / 200_000 < 0.010
    assert all(count > 50 for count in counts.values())


def test_categories_are_the_declared_ones(simulated: pa.Table) -> None:
    expected = {"country": COUNTRIES, "channel": CHANNELS, "merchant_category": CATEGORIES, "label": LABELS}
    for column, words_of_column in expected.items():
        assert set(simulated[column].unique().to_pylist()) == set(words_of_column)


def test_compromised_merchant_is_bad_for_at_most_28_days_and_card_for_14(simulated: pa.Table) -> None:
    for kind, key, days in (("compromised_merchant", "merchant_id", 28), ("compromised_card", "customer_id", 14)):
        bad = simulated.filter(pc.equal(simulated["fraud_kind"], kind)).group_by(key).aggregate([
            ("event_time", "min"), ("event_time", "max")
        ])  # fmt: skip
        spans = [
            last - first
            for first, last in zip(bad["event_time_min"].to_pylist(), bad["event_time_max"].to_pylist(), strict=True)
        ]
        once = [span for span in spans if span < timedelta(days=days)]
        assert len(once) > 0.9 * len(spans)  # a few are compromised twice


def test_most_purchases_are_made_near_home(simulated: pa.Table) -> None:
    """Of a customer's purchases in shops, those in the most visited country dominate."""
    shops = simulated.filter(pc.not_equal(simulated["channel"], "online"))
    visits = shops.group_by(["customer_id", "country"]).aggregate([("amount", "count")])
    by_customer = visits.group_by("customer_id").aggregate([("amount_count", "max"), ("amount_count", "sum")])
    assert pc.sum(by_customer["amount_count_max"]).as_py() / pc.sum(by_customer["amount_count_sum"]).as_py() > 0.85


def test_amounts_are_positive_with_a_tail(simulated: pa.Table) -> None:
    assert pc.min(simulated["amount"]).as_py() >= Decimal("0.50")
    assert pc.max(simulated["amount"]).as_py() > Decimal("1000")


def test_nights_are_quiet_and_saturdays_busy(simulated: pa.Table) -> None:
    hours = np.bincount(pc.hour(simulated["event_time"]).to_numpy(), minlength=24)
    assert hours[2:5].max() < hours[10:19].min() / 3
    weekdays = np.bincount(pc.day_of_week(simulated["event_time"]).to_numpy(), minlength=7)
    assert weekdays[5] > weekdays[6] * 1.2


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    simulate(tmp_path / "a.parquet", 1_000, seed=7, progress=lambda done, total, doing="": seen.append((done, total)))
    assert seen[-1] == (1_000, 1_000) and len(seen) > 100


def test_no_room_leaves_the_old_file_whole(tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    out.write_bytes(b"old")
    with pytest.raises(DiskFull):
        simulate(out, 10**15, seed=7)
    assert out.read_bytes() == b"old" and list(tmp_path.iterdir()) == [out]


def test_streams_of_words_are_those_of_the_published_generator() -> None:
    """The first words of Philox 4x64 with this key: they must never depend on the machine or on numpy's version."""
    assert words(7, 16, 2, 1).tolist() == [[7135920438189544134, 3729964319651080833]]


def test_tables_are_the_mathematical_ones() -> None:
    assert exponential_quantiles(1_000_000, 2).tolist() == [287_682, 1_386_294]  # -ln 3/4, -ln 1/4
    factors = lognormal_factors("0.5")
    assert factors[511] < 65_536 < factors[512] and (np.diff(factors) > 0).all()


def test_scaled_draw_stays_below_its_limit() -> None:
    ends = np.array([0, 2**32 - 1], dtype=np.int64)
    assert below(ends, 10, 32).tolist() == [0, 9]
