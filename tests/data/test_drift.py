"""Each kind of shift is found and said in a sentence; ordinary growth is not one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.config import Validation, load_config
from sentinel.data.drift import HOURS, Reference, compare, kolmogorov_smirnov, total_variation
from sentinel.data.drift_report import WHOLE, Comparison, compare_data
from sentinel.data.ingestion import ingest
from sentinel.data.profile import STEPS, make_profile
from sentinel.data.simulator import simulate
from tests.data.test_validation import COLUMNS, everywhere, setting
from tests.tables import START, canonical_table

ROOT = Path(__file__).parents[2]
TRAINED_UNTIL = START + timedelta(days=60)
SETTINGS = Validation()


@pytest.fixture(scope="module")
def good() -> pa.Table:
    return canonical_table(6000, with_recorded_at=True)


def compared(good: pa.Table, now: pa.Table, folder: Path, settings: Validation = SETTINGS) -> Comparison:
    """`now` beside the first 60 days of `good`."""
    then_file, now_file = folder / "then.parquet", folder / "now.parquet"
    pq.write_table(good, then_file)
    pq.write_table(now, now_file)
    reference = Reference("version 1", make_profile(then_file, COLUMNS, folder, end=TRAINED_UNTIL))
    whole = make_profile(now_file, COLUMNS, folder)
    return compare_data(now_file, whole, reference, COLUMNS, settings, folder)


def times(column: str, factor: float) -> Callable[[pa.Table], pa.Table]:
    return lambda table: setting(
        table, column, pc.multiply(table.column(column).cast(pa.float64()), factor).cast(
            table.schema.field(column).type, safe=False
        )
    )  # fmt: skip


def only_after(damage: Callable[[pa.Table], pa.Table], days: int) -> Callable[[pa.Table], pa.Table]:
    """The damage in the rows since that day alone."""

    def later(table: pa.Table) -> pa.Table:
        since = pa.scalar(START + timedelta(days=days), pa.timestamp("us", "UTC"))
        is_late = pc.greater_equal(table.column("event_timestamp"), since)
        return pa.concat_tables([table.filter(pc.invert(is_late)), damage(table.filter(is_late))])

    return later


def renamed(table: pa.Table) -> pa.Table:
    return setting(table, "channel", pc.replace_substring(table.column("channel"), "chip", "dip"))


def without_country(table: pa.Table) -> pa.Table:
    """A fifth of the values are lost."""
    lost = pa.array(np.arange(table.num_rows) % 5 == 0)
    return setting(table, "country", pc.if_else(lost, pa.scalar(None, pa.string()), table.column("country")))


def in_another_zone(table: pa.Table) -> pa.Table:
    """Nights only."""
    moments = table.column("event_timestamp").cast(pa.int64()).to_numpy()
    day, within = moments // 86_400_000_000, moments % 86_400_000_000
    return setting(table, "event_timestamp", pa.array(day * 86_400_000_000 + within // 2, pa.timestamp("us", "UTC")))


SHIFTS = [
    ("amount_minor", "distribution", times("amount_minor", 2.0), "Kolmogorov-Smirnov distance"),
    ("amount_minor", "mean", times("amount_minor", 100.0), "the mean moved by"),
    ("distance_km", "distribution", times("distance_km", 0.3), "the median was"),
    ("country", "distribution", everywhere("country", "DE"), "81% of the values are others"),
    ("country", "gone", everywhere("country", "DE"), "no longer occur"),
    ("country", "null_share", without_country, "of the values are missing, and"),
    ("channel", "unknown", renamed, "version 1 never saw 'dip' ("),
    ("channel", "gone", renamed, "'chip' ("),
    ("country", "absent", lambda table: table.drop_columns("country"), "the column is gone"),
    (HOURS, "distribution", in_another_zone, "is the time zone right?"),
]


@pytest.mark.parametrize(("column", "kind", "damage", "sentence"), SHIFTS, ids=[f"{s[0]}-{s[1]}" for s in SHIFTS])
def test_a_shift_is_found_and_said(
    column: str, kind: str, damage: Callable[[pa.Table], pa.Table], sentence: str, good: pa.Table, tmp_path: Path
) -> None:
    found = compared(good, damage(good), tmp_path)
    assert found.verdict == "shifted"
    (shift,) = [shift for shift in found.shifts if (shift.column, shift.kind) == (column, kind)]
    assert shift.sentence.startswith(f"{column}: ") and sentence in shift.sentence
    assert shift.sentence in found.warnings


def test_a_shift_that_the_whole_table_hides_is_found_in_the_newer_rows(good: pa.Table, tmp_path: Path) -> None:
    found = compared(good, only_after(times("amount_minor", 2.5), 75)(good), tmp_path)
    assert {shift.period for shift in found.shifts} == {f"since {TRAINED_UNTIL - timedelta(days=1):%Y-%m-%d}"}


def test_other_columns_than_the_shifted_one_are_left_alone(good: pa.Table, tmp_path: Path) -> None:
    found = compared(good, times("amount_minor", 3.0)(good), tmp_path)
    assert {shift.column for shift in found.shifts} == {"amount_minor"}


def test_the_same_data_have_not_shifted(good: pa.Table, tmp_path: Path) -> None:
    found = compared(good, good, tmp_path)
    assert (found.verdict, found.warnings) == ("same", ())
    assert {measure.period for measure in found.measures} == {WHOLE, "since 2026-03-01"}


def test_too_few_rows_are_not_compared(good: pa.Table, tmp_path: Path) -> None:
    found = compared(good.slice(0, 200), everywhere("country", "DE")(good), tmp_path)
    assert (found.verdict, found.warnings) == ("not compared", ())
    assert "tell nothing" in found.note


def test_wider_bounds_take_the_shift(good: pa.Table, tmp_path: Path) -> None:
    wide = Validation(max_distribution_shift=0.6)
    assert compared(good, times("amount_minor", 2.0)(good), tmp_path, wide).verdict == "same"


def test_a_constant_that_became_another_one_has_shifted(good: pa.Table, tmp_path: Path) -> None:
    then, now = everywhere("distance_km", 1.0)(good), everywhere("distance_km", 2.0)(good)
    kinds = {shift.kind for shift in compared(then, now, tmp_path).shifts if shift.column == "distance_km"}
    assert kinds == {"distribution", "mean"}


@pytest.mark.parametrize(("transactions", "seed"), [(1_000, 1), (4_000, 2), (20_000, 3)])
def test_a_month_more_of_the_same_world_is_no_shift(transactions: int, seed: int, tmp_path: Path) -> None:
    """Champions trained on the first four months, whichever month came then."""
    config = load_config(ROOT / "configs" / "default.toml")
    simulate(tmp_path / "source.parquet", transactions, seed)
    ingest([tmp_path / "source.parquet"], config.columns, config.source, tmp_path / "data", where=config.where)
    file = tmp_path / "data" / "transactions.parquet"
    first = make_profile(file, config.columns, tmp_path).first
    assert first is not None
    trained = make_profile(
        file, config.columns, tmp_path, start=first + timedelta(days=30), end=first + timedelta(days=120)
    )
    for end in (150, 183):
        now = make_profile(file, config.columns, tmp_path, end=first + timedelta(days=end))
        newer = make_profile(
            file, config.columns, tmp_path, start=first + timedelta(days=120), end=first + timedelta(days=end)
        )
        for side in (now, newer):
            measures = compare(Reference("version 1", trained), side, "now", config.validation)
            assert [measure.sentence for measure in measures if measure.is_shift] == []


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=200), st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=200)
)
def test_the_distance_from_quantiles_is_near_the_exact_one(then: list[float], now: list[float]) -> None:
    def quantiles(values: list[float]) -> tuple[float, ...]:
        ordered = np.sort(np.asarray(values))
        positions = np.ceil(np.linspace(0, 1, STEPS + 1) * len(ordered)).astype(int) - 1
        return tuple(ordered[np.maximum(positions, 0)].tolist())

    places = np.union1d(then, now)
    shares = [np.searchsorted(np.sort(side), places, side="right") / len(side) for side in (then, now)]
    exact = np.abs(shares[0] - shares[1]).max()
    assert kolmogorov_smirnov(quantiles(then), quantiles(now)) == pytest.approx(exact, abs=2 / STEPS)


SHARES = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.01, 1), min_size=1).map(
    lambda weights: {name: weight / sum(weights.values()) for name, weight in weights.items()}
)


@given(SHARES, SHARES)
def test_the_share_that_moved_is_a_distance(then: dict[str, float], now: dict[str, float]) -> None:
    moved = total_variation(then, now)
    assert moved == pytest.approx(total_variation(now, then))
    assert -1e-9 <= moved <= 1 + 1e-9
    assert (moved < 1e-9) == all(abs(then.get(name, 0) - now.get(name, 0)) < 1e-9 for name in {*then, *now})
