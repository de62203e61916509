"""A profile says what numpy says of the same rows, and the same rows give the same bytes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sentinel.data.profile import STEPS, Profile, make_profile, read_profile
from sentinel.errors import RecordInvalid
from tests.data.test_validation import COLUMNS, setting
from tests.tables import START, canonical_table


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return canonical_table(3000, with_recorded_at=True)


def profile_of(table: pa.Table, folder: Path, **within: object) -> Profile:
    pq.write_table(table, folder / "table.parquet", row_group_size=700)
    return make_profile(folder / "table.parquet", COLUMNS, folder / "scratch", **within)  # type: ignore[arg-type]


def test_numbers_are_those_of_numpy(table: pa.Table, tmp_path: Path) -> None:
    found = profile_of(table, tmp_path)
    distance = table.column("distance_km").drop_null().to_numpy()
    numbers = found.numbers["distance_km"]
    assert numbers.null_share == pytest.approx(1 - len(distance) / table.num_rows)
    assert (numbers.mean, numbers.std) == (pytest.approx(distance.mean()), pytest.approx(distance.std()))
    assert len(numbers.quantiles) == STEPS + 1
    assert numbers.quantiles[0] == distance.min() and numbers.quantiles[-1] == distance.max()
    assert numbers.quantiles[STEPS // 4] == pytest.approx(np.quantile(distance, 0.25), rel=0.02)


def test_categories_and_rhythm_are_shares_of_the_rows(table: pa.Table, tmp_path: Path) -> None:
    found = profile_of(table, tmp_path)
    country = found.categories["country"]
    known = [value for value in table.column("country").to_pylist() if value]
    assert country.shares == {name: known.count(name) / len(known) for name in country.shares}
    assert country.is_complete and list(country.shares.values()) == sorted(country.shares.values(), reverse=True)
    hours = pc.hour(table.column("event_timestamp")).to_pylist()
    days = pc.day_of_week(table.column("event_timestamp")).to_pylist()
    assert found.hours == pytest.approx([hours.count(hour) / len(hours) for hour in range(24)])
    assert found.weekdays == pytest.approx([days.count(day) / len(days) for day in range(7)])


def test_rates_are_of_the_labelled_rows_and_of_days(table: pa.Table, tmp_path: Path) -> None:
    found = profile_of(table, tmp_path)
    labels = table.column("is_fraud").drop_null()
    assert found.fraud_rate == pytest.approx(pc.mean(labels).as_py())
    assert found.labelled_share == pytest.approx(len(labels) / table.num_rows)
    assert found.transactions_a_day == pytest.approx(table.num_rows / 90, rel=0.01)


def test_a_range_of_time_takes_its_start_and_not_its_end(table: pa.Table, tmp_path: Path) -> None:
    times = table.column("event_timestamp").to_pylist()
    start, end = times[1000], times[2000]
    found = profile_of(table, tmp_path, start=start, end=end)
    assert found.rows == sum(start <= time < end for time in times)
    assert found.first == start and found.last == max(time for time in times if time < end)


def test_the_same_rows_give_the_same_bytes_and_are_read_back(table: pa.Table, tmp_path: Path) -> None:
    first = profile_of(table, tmp_path)
    assert profile_of(table, tmp_path).model_dump_json() == first.model_dump_json()
    (tmp_path / "profile.json").write_text(first.model_dump_json())
    assert read_profile(tmp_path / "profile.json") == first


def test_no_rows_infinite_values_and_nothing_known_have_a_profile(table: pa.Table, tmp_path: Path) -> None:
    empty = profile_of(table, tmp_path, start=START + timedelta(days=4000))
    assert (empty.rows, empty.first, empty.numbers["amount_minor"].quantiles) == (0, None, ())
    odd = setting(table, "distance_km", [float("inf")] * table.num_rows)
    odd = setting(odd, "country", pa.nulls(table.num_rows, pa.string()))
    found = profile_of(odd, tmp_path)
    assert found.numbers["distance_km"].mean is None
    assert found.categories["country"].null_share == 1.0


def test_what_is_no_profile_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text('{"rows": 3}')
    with pytest.raises(RecordInvalid, match=r"profile\.json is no profile of data"):
        read_profile(tmp_path / "profile.json")
