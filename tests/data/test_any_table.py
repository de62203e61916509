"""What a source of another kind becomes: further keys, clocks, formats, and refusals that name the line to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sentinel.config import Clock, Columns, Source
from sentinel.data.ingestion import ingest
from sentinel.errors import ConfigInvalid, DataContractError
from tests.data.test_ingestion import COLUMNS, HEADER, LENIENT, row, run, where, written

DEVICES: dict[str, Any] = {**COLUMNS, "entities": {"device": "device", "till": "till"}}
WIDE = f"{HEADER},device,till"


def test_further_keys_become_contract_columns(tmp_path: Path) -> None:
    lines = [f"{row(1)},d-1,7", f"{row(2)},d-2,8"]
    _, kept, _ = run(tmp_path, written(tmp_path / "a.csv", lines, WIDE), columns=DEVICES)
    assert [(one["device_id"], one["till_id"]) for one in kept] == [("d-1", 7), ("d-2", 8)]
    assert list(kept[0])[3:6] == ["merchant_id", "device_id", "till_id"]


def test_row_without_a_further_key_is_set_aside(tmp_path: Path) -> None:
    lines = [f"{row(1)},d-1,7", f"{row(2)},,8"]
    ingested, _, quarantined = run(tmp_path, written(tmp_path / "a.csv", lines, WIDE), columns=DEVICES)
    assert ingested.quarantined == {"null_key": 1}
    assert quarantined[0]["detail"] == "device_id"


def test_misspelt_further_key_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match=r"bank\.toml:columns\.entities\.device.*'device'"):
        run(tmp_path, written(tmp_path / "a.csv", [f"{row(1)},x,7"], f"{HEADER},devise,till"), columns=DEVICES)


def test_only_a_customer_is_a_contract(tmp_path: Path) -> None:
    columns = {name: source for name, source in COLUMNS.items() if name != "merchant_id"}
    _, kept, _ = run(tmp_path, written(tmp_path / "a.csv", [row(1)]), columns=columns)
    assert "merchant_id" not in kept[0]


def test_every_moment_counts_on_the_same_clock(tmp_path: Path) -> None:
    columns = {**COLUMNS, "recorded_at": "stored", "label_available_at": "seen"}
    source = Source(clock=Clock.model_validate({"unit": "h", "origin": "2025-01-01T00:00:00Z"}))
    lines = [f"{row(1, time=24)},25,48", f"{row(2, time=30)},30,29"]
    ingested, kept, _ = run(
        tmp_path,
        written(tmp_path / "a.csv", lines, f"{HEADER},stored,seen"),
        columns=columns,
        source=source.model_copy(update={"max_quarantined_fraction": 0.9}),
    )
    names = ("event_timestamp", "recorded_at", "label_available_at")
    assert [f"{kept[0][name]:%d %H}" for name in names] == ["02 00", "02 01", "03 00"]
    assert ingested.quarantined == {"impossible_time": 1}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"time": 1735689600}, "[source.clock]"),
        ({"time": "31.12.2025"}, "source.time_format"),
        ({"amount": '"1,234.56"'}, "thousands_separator"),
        ({"amount": "€5"}, "currency_signs"),
        ({"fraud": "legit"}, "[source.labels]"),
        ({"customer": ""}, "[columns.categorical]"),
    ],
)
def test_refusal_says_which_setting_reads_such_a_source(tmp_path: Path, changed: dict[str, object], told: str) -> None:
    source = written(tmp_path / "a.csv", [row(1, **changed)])
    with pytest.raises(DataContractError) as caught:
        ingest([source], Columns(**COLUMNS), Source(), tmp_path / "out", where=where)
    assert told in str(caught.value)


@pytest.mark.parametrize("form", ["%H:%M", "%d.%m.%Y %z", "%q", "", "day"])
def test_time_format_without_a_day_or_with_a_zone_is_refused(tmp_path: Path, form: str) -> None:
    source = LENIENT.model_copy(update={"time_format": form})
    with pytest.raises(ConfigInvalid, match=r"source\.time_format"):
        run(tmp_path, written(tmp_path / "a.csv", [row(1)]), source=source)


def test_times_of_a_declared_format(tmp_path: Path) -> None:
    source = LENIENT.model_copy(update={"time_format": "%d.%m.%Y %H:%M:%S", "time_zone": "Europe/Berlin"})
    _, kept, _ = run(tmp_path, written(tmp_path / "a.csv", [row(1, time="31.12.2025 14:05:00")]), source=source)
    assert f"{kept[0]['event_timestamp']:%Y-%m-%d %H:%M}" == "2025-12-31 13:05"
